using System.Globalization;
using System.Text;

namespace Pipeline.Runs;

/// <summary>What a density plot shows: for each band of ranks and slice of time the share of each group, the rest being idle.</summary>
/// <param name="Title">Heads the plot.</param>
/// <param name="BandLabels">Top to bottom; a band may be several ranks.</param>
/// <param name="SliceCount">Slices of time.</param>
/// <param name="Seconds">What the slices cover.</param>
/// <param name="GroupKinds">The groups as kinds of spans, such as <c>F</c> or <c>optimizer</c>.</param>
/// <param name="Share">By band, slice and group, from 0 to 1.</param>
public sealed record DensityGrid(
    string Title, IReadOnlyList<string> BandLabels, int SliceCount, double Seconds, IReadOnlyList<string> GroupKinds, Func<int, int, int, float> Share);

/// <summary>
/// A step with too many actions to draw each: ranks × time, every cell in the mixture of what was done in it. White is idle. Cells
/// of one colour are one path, so that the picture stays small.
/// </summary>
public static class DensityPlot
{
    private const double Width = 1120;
    private const double Left = 96;
    private const double Right = Width - 24;
    private const double Top = 96;
    private const double MaxHeight = 640;
    private const int ColorSteps = 12;

    private const string Ink = "#1f2937";
    private const string Faint = "#6b7280";
    private const string Grid = "#e5e7eb";

    private static readonly (int Red, int Green, int Blue) s_idle = (246, 247, 249);

    /// <summary>Draws a grid.</summary>
    /// <returns>The SVG text; the same for the same input.</returns>
    public static string Draw(DensityGrid grid)
    {
        var bandHeight = Math.Clamp(MaxHeight / grid.BandLabels.Count, 2, 24);
        var bottom = Top + bandHeight * grid.BandLabels.Count;
        var canvas = new SvgCanvas(Width, bottom + 52, grid.Title);
        var palette = new SpanPalette(grid.GroupKinds);
        canvas.Heading(24, 34, Width - 48, grid.Title, Ink);
        DrawLegend(canvas, palette);
        foreach (var (color, path) in Paths(grid, palette, bandHeight))
            canvas.Path(path, color);
        DrawAxes(canvas, grid, bandHeight, bottom);
        return canvas.Finish();
    }

    private static void DrawLegend(SvgCanvas canvas, SpanPalette palette)
    {
        var x = 24.0;
        foreach (var (name, color) in palette.Legend.Append(("idle", "#f6f7f9")))
        {
            canvas.Rectangle(x - 1, 53, 16, 16, "#d9dde3", 3);
            canvas.Rectangle(x, 54, 14, 14, color, 3);
            canvas.Text(x + 20, 66, name, Ink);
            x += 44 + name.Length * 6.8;
        }
    }

    private static void DrawAxes(SvgCanvas canvas, DensityGrid grid, double bandHeight, double bottom)
    {
        var (unit, factor) = grid.Seconds < 1 ? ("ms", 1e3) : ("s", 1.0);
        var time = PlotScale.Over(0, grid.Seconds * factor, Left, Right);
        foreach (var (value, label) in time.Ticks(10))
        {
            canvas.Line(time.Pixel(value), bottom, time.Pixel(value), bottom + 4, Grid);
            canvas.Text(time.Pixel(value), bottom + 18, label, Faint, "middle");
        }

        canvas.Text((Left + Right) / 2, bottom + 38, $"time ({unit})", Faint, "middle");
        var labelEvery = (int)Math.Ceiling(16 / bandHeight);
        for (var band = 0; band < grid.BandLabels.Count; band += labelEvery)
            canvas.Text(Left - 8, Top + (band + 0.5) * bandHeight + 4, grid.BandLabels[band], Faint, "end", size: 11);
    }

    // Runs of one colour within a band, gathered by colour.
    private static IEnumerable<(string Color, string Path)> Paths(DensityGrid grid, SpanPalette palette, double bandHeight)
    {
        var colors = grid.GroupKinds.Select(kind => Parse(palette.Color(kind))).ToArray();
        var paths = new SortedDictionary<string, StringBuilder>(StringComparer.Ordinal);
        var sliceWidth = (Right - Left) / grid.SliceCount;
        for (var band = 0; band < grid.BandLabels.Count; band++)
        {
            for (int slice = 0, next; slice < grid.SliceCount; slice = next)
            {
                var color = ColorOf(grid, colors, band, slice);
                for (next = slice + 1; next < grid.SliceCount && ColorOf(grid, colors, band, next) == color; next++)
                {
                }

                if (!paths.TryGetValue(color, out var path))
                    paths[color] = path = new StringBuilder();
                path.Append(CultureInfo.InvariantCulture,
                    $"M{Left + slice * sliceWidth:0.##} {Top + band * bandHeight:0.##}h{(next - slice) * sliceWidth:0.##}v{bandHeight:0.##}h{-(next - slice) * sliceWidth:0.##}z");
            }
        }

        return paths.Select(pair => (pair.Key, pair.Value.ToString()));
    }

    private static string ColorOf(DensityGrid grid, (int Red, int Green, int Blue)[] colors, int band, int slice)
    {
        var (red, green, blue, idle) = (0.0, 0.0, 0.0, 1.0);
        for (var group = 0; group < colors.Length; group++)
        {
            // In steps, so that neighbours of almost one colour are of one colour.
            var share = Math.Round(Math.Clamp(grid.Share(band, slice, group), 0, 1) * ColorSteps) / ColorSteps;
            red += share * colors[group].Red;
            green += share * colors[group].Green;
            blue += share * colors[group].Blue;
            idle -= share;
        }

        idle = Math.Max(0, idle);
        return $"#{Channel(red + idle * s_idle.Red)}{Channel(green + idle * s_idle.Green)}{Channel(blue + idle * s_idle.Blue)}";
    }

    private static string Channel(double value) => ((int)Math.Clamp(Math.Round(value), 0, 255)).ToString("x2", CultureInfo.InvariantCulture);

    private static (int Red, int Green, int Blue) Parse(string color) =>
        (Convert.ToInt32(color[1..3], 16), Convert.ToInt32(color[3..5], 16), Convert.ToInt32(color[5..7], 16));
}
