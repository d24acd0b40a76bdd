using System.Net;
using System.Security.Cryptography;
using System.Text;
using Microsoft.AspNetCore.Http;

namespace Pipeline.Dashboard;

/// <summary>
/// Whether a request may pass. Reading is free on loopback, under a loopback name (a page elsewhere whose name was pointed here is not let
/// in); everything else, and every change, shows the token. Requests that another site caused are refused.
/// </summary>
/// <param name="options">Who may do what.</param>
internal sealed class RequestGuard(DashboardOptions options)
{
    private readonly byte[] _token = Encoding.UTF8.GetBytes(options.Token);

    /// <summary>Why a request is refused; null if it may pass.</summary>
    internal string? FaultOf(HttpRequest request)
    {
        var isChange = !HttpMethods.IsGet(request.Method) && !HttpMethods.IsHead(request.Method);
        if (!options.IsPublic && !IsLoopbackName(request.Host.Host)) return "The dashboard is asked for under a name that is not this machine's loopback. Use http://127.0.0.1.";
        if (request.Headers["Sec-Fetch-Site"].ToString() is { Length: > 0 } site && site is not ("same-origin" or "none")) return "The request comes from another site.";
        if (isChange && request.Headers.Origin.ToString() is { Length: > 0 } origin && !IsOwn(origin, request.Host)) return "The request comes from another site.";
        if (isChange && request.ContentType?.StartsWith("application/json", StringComparison.OrdinalIgnoreCase) != true) return "Expected a body of application/json.";
        if (!isChange && !options.IsPublic) return null;
        return ShowsToken(request) ? null : "The token is missing or not that of this run. It lies in the file that endpoint.json names.";
    }

    private bool ShowsToken(HttpRequest request)
    {
        const string scheme = "Bearer ";
        var header = request.Headers.Authorization.ToString();
        return header.StartsWith(scheme, StringComparison.Ordinal) && CryptographicOperations.FixedTimeEquals(Encoding.UTF8.GetBytes(header[scheme.Length..]), _token);
    }

    private static bool IsOwn(string origin, HostString host) => Uri.TryCreate(origin, UriKind.Absolute, out var uri) && string.Equals(uri.Authority, host.Value, StringComparison.OrdinalIgnoreCase);

    private static bool IsLoopbackName(string host) => host is "localhost" || (IPAddress.TryParse(host.Trim('[', ']'), out var address) && IPAddress.IsLoopback(address));
}
