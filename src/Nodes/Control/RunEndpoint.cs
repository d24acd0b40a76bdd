using Pipeline.Protocol.Security;
using Pipeline.Runs;

namespace Pipeline.Nodes;

/// <summary>Asks whoever leads the run of a directory, through its <c>endpoint.json</c>.</summary>
public static class RunEndpoint
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(25);

    /// <summary>Sends one command.</summary>
    /// <param name="files">The run's directory.</param>
    /// <param name="command">One of <see cref="ControlCommand"/>.</param>
    /// <param name="credentials">For mutual TLS; null for none.</param>
    /// <returns>The answer; null where no endpoint is written, or nobody answers there.</returns>
    /// <exception cref="RunException">The endpoint's file is damaged.</exception>
    public static async Task<ControlReply?> AskAsync(RunFiles files, string command, IPeerCredentials? credentials = null)
    {
        if (EndpointFile.Read(files.Endpoint) is not { } endpoint || !File.Exists(endpoint.TokenPath)) return null;
        var token = (await File.ReadAllTextAsync(endpoint.TokenPath).ConfigureAwait(false)).Trim();
        return await ControlClient.AskAsync(endpoint.Address, new ControlRequest(token, command), Patience, credentials).ConfigureAwait(false);
    }
}
