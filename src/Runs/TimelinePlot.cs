using System.Globalization;

namespace Pipeline.Runs;

/// <summary>
/// <c>timeline.svg</c>: a row per stage, a box per executed action with the micro-batch's number in it, the share of idle time at the end
/// of the row. What is white is bubble.
/// </summary>
public static class TimelinePlot
{
    private const double Width = 1120;
    private const double LabelLeft = 24;
    private const double Right = Width - 84;
    private const double Top = 96;
    private const double LaneHeight = 30;
    private const double LaneStride = 40;
    private const double LetterWidth = 6.8;
    private const int MaxTooltipCount = 4000;

    private const string Ink = "#1f2937";
    private const string Faint = "#6b7280";
    private const string Grid = "#e5e7eb";
    private const string Idle = "#f6f7f9";
    private const string OnSpan = "#ffffff";

    /// <summary>Draws a timeline.</summary>
    /// <returns>The SVG text; the same for the same input.</returns>
    public static string Draw(Timeline timeline)
    {
        var left = LabelLeft + 16 + timeline.Lanes.Select(lane => lane.Name.Length).DefaultIfEmpty(0).Max() * LetterWidth;
        var bottom = Top + timeline.Lanes.Count * LaneStride;
        var canvas = new SvgCanvas(Width, bottom + 52, timeline.Title);
        var palette = new SpanPalette(timeline.Spans);
        var origin = timeline.Start;
        var time = PlotScale.Over(0, (timeline.End - origin) * 1e3, left, Right);
        DrawHead(canvas, timeline, palette);
        DrawAxis(canvas, time, left, bottom);
        for (var lane = 0; lane < timeline.Lanes.Count; lane++)
            DrawLane(canvas, timeline, lane, left);
        DrawSpans(canvas, timeline, palette, time, origin);
        return canvas.Finish();
    }

    private static void DrawHead(SvgCanvas canvas, Timeline timeline, SpanPalette palette)
    {
        canvas.Heading(LabelLeft, 34, Width - 2 * LabelLeft, timeline.Title, Ink);
        var x = LabelLeft;
        foreach (var (name, color) in palette.Legend)
        {
            canvas.Rectangle(x, 54, 14, 14, color, 3);
            canvas.Text(x + 20, 66, name, Ink);
            x += 44 + name.Length * LetterWidth;
        }

        canvas.Rectangle(x, 54, 14, 14, "#d9dde3", 3);
        canvas.Rectangle(x + 1, 55, 12, 12, Idle, 2);
        canvas.Text(x + 20, 66, "idle", Ink);
    }

    private static void DrawAxis(SvgCanvas canvas, PlotScale time, double left, double bottom)
    {
        foreach (var (value, label) in time.Ticks(10))
        {
            canvas.Line(time.Pixel(value), Top - 6, time.Pixel(value), bottom, Grid);
            canvas.Text(time.Pixel(value), bottom + 16, label, Faint, "middle");
        }

        canvas.Text((left + Right) / 2, bottom + 38, "time (ms)", Faint, "middle");
        canvas.Text(Width - 24, Top - 12, "bubble", Faint, "end");
    }

    private static void DrawLane(SvgCanvas canvas, Timeline timeline, int lane, double left)
    {
        var y = LaneTop(lane);
        canvas.Rectangle(left, y, Right - left, LaneHeight, Idle, 3);
        canvas.Text(left - 12, y + LaneHeight / 2 + 4, timeline.Lanes[lane].Name, Ink, "end");
        canvas.Text(Width - 24, y + LaneHeight / 2 + 4, string.Create(CultureInfo.InvariantCulture, $"{timeline.BubbleOf(lane) * 100:0.0} %"), Ink, "end");
    }

    private static void DrawSpans(SvgCanvas canvas, Timeline timeline, SpanPalette palette, PlotScale time, double origin)
    {
        var hasTooltips = timeline.Spans.Count <= MaxTooltipCount;
        var lastDrawn = new Dictionary<(int Lane, string Kind), double>();
        foreach (var span in timeline.Spans.OrderBy(span => span.Lane).ThenBy(span => span.StartSeconds))
        {
            var from = time.Pixel((span.StartSeconds - origin) * 1e3);
            var to = time.Pixel((span.EndSeconds - origin) * 1e3);
            // Of actions finer than a quarter of a pixel one stands for its neighbours.
            if (to - from < 0.25 && lastDrawn.TryGetValue((span.Lane, span.Kind), out var last) && to - last < 0.25)
                continue;
            lastDrawn[(span.Lane, span.Kind)] = to;
            DrawSpan(canvas, span, palette.Color(span.Kind), from, to, hasTooltips);
        }
    }

    private static void DrawSpan(SvgCanvas canvas, TimelineSpan span, string color, double from, double to, bool hasTooltip)
    {
        // A hair of space keeps neighbours apart, where there is room for it.
        var gap = to - from > 3 ? 0.6 : 0;
        var y = LaneTop(span.Lane);
        var tooltip = hasTooltip ? string.Create(CultureInfo.InvariantCulture, $"{span.Label}: {span.Seconds * 1e3:0.###} ms") : null;
        canvas.Rectangle(from, y, Math.Max(to - from - gap, 0.25), LaneHeight, color, to - from > 8 ? 2 : 0, tooltip);
        if (span.MicroBatch is not { } microBatch)
            return;
        var text = microBatch.ToString(CultureInfo.InvariantCulture);
        if (to - from > text.Length * LetterWidth + 4)
            canvas.Text((from + to - gap) / 2, y + LaneHeight / 2 + 4, text, OnSpan, "middle", isBold: true);
    }

    private static double LaneTop(int lane) => Top + lane * LaneStride + (LaneStride - LaneHeight) / 2 - 4;
}
