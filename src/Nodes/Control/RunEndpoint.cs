using Pipeline.Protocol.Security;
using Pipeline.Runs;

namespace Pipeline.Nodes;

/// <summary>Asks whoever leads the run of a directory, through its <c>endpoint.json</c>.</summary>
public static class RunEndpoint
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(34);

    /// <summary>Sends one command.</summary>
    /// <param name="files">The run's directory.</param>
    /// <param name="command">One of <see cref="ControlCommand"/>.</param>
    /// <param name="credentials">For mutual TLS; null for none.</param>
    /// <returns>The answer; null where no endpoint is written, or nobody answers there.</returns>
    /// <exception cref="RunException">The endpoint's file is damaged, or it or the token's cannot be read.</exception>
    public static Task<ControlReply?> AskAsync(RunFiles files, string command, IPeerCredentials? credentials = null) =>
        AskAsync(files, token => new ControlRequest(token, command), credentials);

    /// <summary>Sends one request.</summary>
    /// <param name="files">The run's directory.</param>
    /// <param name="request">Makes it, given the endpoint's token.</param>
    /// <param name="credentials">For mutual TLS; null for none.</param>
    /// <returns>The answer; null where no endpoint is written, or nobody answers there.</returns>
    /// <exception cref="RunException">The endpoint's file is damaged, or it or the token's cannot be read.</exception>
    public static async Task<ControlReply?> AskAsync(RunFiles files, Func<string, ControlRequest> request, IPeerCredentials? credentials = null)
    {
        if (EndpointFile.Read(files.Endpoint) is not { } endpoint || endpoint.ReadToken() is not { } token) return null;
        return await ControlClient.AskAsync(endpoint.Address, request(token), Patience, credentials).ConfigureAwait(false);
    }
}
