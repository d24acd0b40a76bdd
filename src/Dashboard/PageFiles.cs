using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;

namespace Pipeline.Dashboard;

/// <summary>The files of the page, which lie in this assembly: nothing is fetched from elsewhere.</summary>
internal static class PageFiles
{
    private static readonly IReadOnlyDictionary<string, (string Resource, string Type)> Files = new Dictionary<string, (string, string)>(StringComparer.Ordinal)
    {
        ["/"] = ("index.html", "text/html; charset=utf-8"),
        ["/app.js"] = ("app.js", "text/javascript; charset=utf-8"),
        ["/charts.js"] = ("charts.js", "text/javascript; charset=utf-8"),
        ["/pipeline.js"] = ("pipeline.js", "text/javascript; charset=utf-8"),
        ["/cluster.js"] = ("cluster.js", "text/javascript; charset=utf-8"),
        ["/console.js"] = ("console.js", "text/javascript; charset=utf-8"),
        ["/format.js"] = ("format.js", "text/javascript; charset=utf-8"),
        ["/net.js"] = ("net.js", "text/javascript; charset=utf-8"),
        ["/style.css"] = ("style.css", "text/css; charset=utf-8"),
        ["/uPlot.js"] = ("uPlot.iife.min.js", "text/javascript; charset=utf-8"),
        ["/uPlot.css"] = ("uPlot.min.css", "text/css; charset=utf-8"),
        ["/uPlot.LICENSE"] = ("uPlot.LICENSE", "text/plain; charset=utf-8"),
        ["/favicon.svg"] = ("favicon.svg", "image/svg+xml"),
    };

    /// <summary>Whether a path is one of them.</summary>
    internal static bool Holds(PathString path) => Files.ContainsKey(path.Value ?? "");

    internal static void Map(WebApplication web)
    {
        foreach (var (path, (resource, type)) in Files)
        {
            web.MapGet(path, async context =>
            {
                context.Response.ContentType = type;
                using var stream = typeof(PageFiles).Assembly.GetManifestResourceStream(resource)!;
                await stream.CopyToAsync(context.Response.Body, context.RequestAborted).ConfigureAwait(false);
            });
        }
    }
}
