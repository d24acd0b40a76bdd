using System.Net;

namespace Pipeline.Dashboard;

/// <summary>Where the dashboard listens and who may do what.</summary>
/// <param name="Listen">Address and port; port 0 lets the system choose.</param>
/// <param name="Token">What a change must show, and anything at all where the address is not loopback.</param>
/// <param name="Former">
/// Where the page of a former leader was, null for nowhere: with port 0 its port is taken if it is free, so that a page that is open finds the run again.
/// </param>
public sealed record DashboardOptions(IPEndPoint Listen, string Token, Uri? Former = null)
{
    /// <summary>Whether others than this machine reach it.</summary>
    public bool IsPublic => !IPAddress.IsLoopback(Listen.Address);

    /// <summary>Where to listen first; null where only <see cref="Listen"/> is meant.</summary>
    internal IPEndPoint? First => Listen.Port == 0 && Former is { Port: > 0 } former ? new IPEndPoint(Listen.Address, former.Port) : null;
}
