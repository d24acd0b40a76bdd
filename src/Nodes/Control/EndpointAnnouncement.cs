using System.Text;
using Pipeline.Runs;

namespace Pipeline.Nodes;

/// <summary>Writes where something can be commanded: an endpoint file such as a run's <c>endpoint.json</c>, and beside it the token, both for their owner only.</summary>
public static class EndpointAnnouncement
{
    private const UnixFileMode OwnerOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite;

    /// <summary>Writes both.</summary>
    /// <exception cref="RunException">One cannot be written.</exception>
    public static void Write(string endpointPath, ControlServer server, TimeProvider time, Uri? dashboard = null)
    {
        var tokenPath = TokenPathOf(endpointPath);
        AtomicFile.Write(tokenPath, stream => stream.Write(Encoding.UTF8.GetBytes(server.Token)), OwnerOnly);
        new EndpointFile(server.Address, tokenPath, Environment.ProcessId, time.GetUtcNow(), dashboard?.ToString()).Write(endpointPath);
    }

    /// <summary>Removes both, if they are there.</summary>
    public static void Remove(string endpointPath)
    {
        EndpointFile.Remove(endpointPath);
        EndpointFile.Remove(TokenPathOf(endpointPath));
    }

    private static string TokenPathOf(string endpointPath) => Path.ChangeExtension(endpointPath, ".token");
}
