using System.Net;

namespace Pipeline.Dashboard;

/// <summary>Where the dashboard listens and who may do what.</summary>
/// <param name="Listen">Address and port; port 0 lets the system choose.</param>
/// <param name="Token">What a change must show, and anything at all where the address is not loopback.</param>
/// <param name="Otlp">Where metrics and traces go by OTLP; null for nowhere.</param>
public sealed record DashboardOptions(IPEndPoint Listen, string Token, Uri? Otlp = null)
{
    /// <summary>Whether others than this machine reach it.</summary>
    public bool IsPublic => !IPAddress.IsLoopback(Listen.Address);
}
