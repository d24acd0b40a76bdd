using System.Globalization;

namespace Pipeline.Runs;

/// <summary>
/// <c>loss.svg</c>: the training loss of each step (light) and smoothed (strong), the validation points, and the learning rate below.
/// The text depends on the numbers only.
/// </summary>
public static class LossPlot
{
    private const double Width = 960;
    private const double Left = 68;
    private const double Right = Width - 28;
    private const double Top = 92;
    private const double Bottom = 420;
    private const double RateTop = 456;
    private const double RateBottom = 516;
    private const double Height = 564;

    private const string Ink = "#1f2937";
    private const string Faint = "#6b7280";
    private const string Grid = "#e5e7eb";
    private const string Axis = "#9ca3af";
    private const string TrainingColor = "#2563eb";
    private const string ValidationColor = "#ea580c";
    private const string RateColor = "#0d9488";
    private const string FaultColor = "#dc2626";

    /// <summary>Draws the curves of a run.</summary>
    /// <param name="title">Heads the plot, for example the run's name.</param>
    /// <param name="steps">Training steps, rising; may be empty.</param>
    /// <param name="evaluations">Evaluations, rising; may be empty.</param>
    /// <returns>The SVG text.</returns>
    public static string Draw(string title, IReadOnlyList<StepMetrics> steps, IReadOnlyList<EvaluationMetrics> evaluations)
    {
        var canvas = new SvgCanvas(Width, Height, title);
        var smoothed = LossCurve.Smooth([.. steps.Select(step => step.Loss)]);
        var x = StepScale(steps, evaluations);
        var y = LossScale(steps, smoothed, evaluations);
        DrawHead(canvas, title, steps, smoothed, evaluations);
        DrawGrid(canvas, x, y);
        // Above the upper edge there may be a spike; points at the side edges are to be seen whole.
        canvas.Clipped("losses", Left - 6, Top - 6, Right - Left + 12, Bottom - Top + 12, () =>
        {
            DrawTraining(canvas, steps, smoothed, x, y);
            DrawValidation(canvas, evaluations, x, y);
        });
        DrawLearningRate(canvas, steps, x);
        return canvas.Finish();
    }

    private static PlotScale StepScale(IReadOnlyList<StepMetrics> steps, IReadOnlyList<EvaluationMetrics> evaluations)
    {
        var all = steps.Select(step => step.Step).Concat(evaluations.Select(evaluation => evaluation.Step)).DefaultIfEmpty(0).ToList();
        return PlotScale.Over(Math.Min(all.Min(), 1), Math.Max(all.Max(), 2), Left, Right);
    }

    /// <summary>All but the highest hundredth of the raw losses, so that one spike does not flatten the curve.</summary>
    private static PlotScale LossScale(IReadOnlyList<StepMetrics> steps, double[] smoothed, IReadOnlyList<EvaluationMetrics> evaluations)
    {
        var raw = steps.Select(step => step.Loss).Where(double.IsFinite).Order().ToArray();
        var shown = smoothed.Concat(evaluations.Select(evaluation => evaluation.ValidationLoss)).Where(double.IsFinite)
            .Concat(raw.Take(1)).Concat(raw.Length > 0 ? [raw[(int)((raw.Length - 1) * 0.99)]] : []).DefaultIfEmpty(0).ToArray();
        var margin = (shown.Max() - shown.Min()) * 0.05;
        return PlotScale.Over(shown.Min() - margin, shown.Max() + margin, Bottom, Top);
    }

    private static void DrawHead(SvgCanvas canvas, string title, IReadOnlyList<StepMetrics> steps, double[] smoothed, IReadOnlyList<EvaluationMetrics> evaluations)
    {
        canvas.Heading(Left, 34, Right - Left, title, Ink);
        var x = Left;
        if (steps.Count > 0)
        {
            canvas.Line(x, 62, x + 22, 62, TrainingColor, 2.5);
            canvas.Text(x + 30, 66, $"training loss, smoothed: {Loss(smoothed[^1])} after {steps[^1].Step.ToString("N0", CultureInfo.InvariantCulture)} steps", Ink);
            canvas.Line(x + 330, 62, x + 352, 62, "#a8c1f7", 1.5);
            canvas.Text(x + 360, 66, "each step", Ink);
            x += 450;
        }

        if (evaluations.Count > 0)
        {
            var last = evaluations[^1];
            canvas.Line(x, 62, x + 22, 62, ValidationColor, 2);
            canvas.Circle(x + 11, 62, 4, ValidationColor);
            var bits = last.BitsPerByte is { } value && double.IsFinite(value) ? string.Create(CultureInfo.InvariantCulture, $" ({value:0.000} bits per byte)") : "";
            canvas.Text(x + 30, 66, $"validation loss: {Loss(last.ValidationLoss)}{bits}", Ink);
        }

        if (steps.Count == 0 && evaluations.Count == 0)
            canvas.Text((Left + Right) / 2, (Top + Bottom) / 2, "no step was committed yet", Faint, "middle", 14);
    }

    private static void DrawGrid(SvgCanvas canvas, PlotScale x, PlotScale y)
    {
        foreach (var (value, label) in y.Ticks(6))
        {
            canvas.Line(Left, y.Pixel(value), Right, y.Pixel(value), Grid);
            canvas.Text(Left - 8, y.Pixel(value) + 4, label, Faint, "end");
        }

        foreach (var (value, label) in x.Ticks(8, wholeNumbers: true))
        {
            canvas.Line(x.Pixel(value), Top, x.Pixel(value), Bottom, Grid);
            canvas.Line(x.Pixel(value), RateBottom, x.Pixel(value), RateBottom + 4, Axis);
            canvas.Text(x.Pixel(value), RateBottom + 18, label, Faint, "middle");
        }

        canvas.Line(Left, Bottom, Right, Bottom, Axis);
        canvas.Text((Left + Right) / 2, Height - 10, "step", Faint, "middle");
        canvas.Text(18, (Top + Bottom) / 2, "loss (nats per token)", Faint, "middle", rotation: -90);
    }

    private static void DrawTraining(SvgCanvas canvas, IReadOnlyList<StepMetrics> steps, double[] smoothed, PlotScale x, PlotScale y)
    {
        var points = steps.Select(step => (X: x.Pixel(step.Step), Y: y.Pixel(step.Loss))).ToList();
        canvas.Polyline(LossCurve.Thin(points), TrainingColor, 1, 0.35);
        canvas.Polyline(LossCurve.Thin([.. points.Select((point, index) => (point.X, y.Pixel(smoothed[index])))]), TrainingColor, 2.2);
        foreach (var step in steps.Where(step => !double.IsFinite(step.Loss)))
        {
            // A loss that is no number has no place on the axis: it is marked at the top.
            canvas.Circle(x.Pixel(step.Step), Top + 2, 4, FaultColor);
            canvas.Text(x.Pixel(step.Step) + 8, Top + 7, "not finite", FaultColor, size: 11);
        }
    }

    private static void DrawValidation(SvgCanvas canvas, IReadOnlyList<EvaluationMetrics> evaluations, PlotScale x, PlotScale y)
    {
        var points = evaluations.Select(evaluation => (X: x.Pixel(evaluation.Step), Y: y.Pixel(evaluation.ValidationLoss))).ToList();
        canvas.Polyline(points, ValidationColor, 1.6);
        foreach (var point in points.Where(point => double.IsFinite(point.Y)))
            canvas.Circle(point.X, point.Y, 4, ValidationColor);
    }

    private static void DrawLearningRate(SvgCanvas canvas, IReadOnlyList<StepMetrics> steps, PlotScale x)
    {
        var highest = steps.Select(step => step.LearningRate).Where(double.IsFinite).DefaultIfEmpty(0).Max();
        var y = new PlotScale(0, highest > 0 ? highest : 1, RateBottom, RateTop);
        canvas.Line(Left, RateTop, Right, RateTop, Grid);
        canvas.Line(Left, RateBottom, Right, RateBottom, Axis);
        canvas.Text(Left, RateTop - 8, "learning rate", RateColor);
        canvas.Text(Left - 8, RateBottom + 4, "0", Faint, "end");
        if (highest > 0)
            canvas.Text(Left - 8, RateTop + 4, highest.ToString(highest < 0.01 ? "0.##e-0" : "0.####", CultureInfo.InvariantCulture), Faint, "end");
        canvas.Polyline(LossCurve.Thin([.. steps.Select(step => (x.Pixel(step.Step), y.Pixel(step.LearningRate)))]), RateColor, 1.8);
    }

    private static string Loss(double value) => double.IsFinite(value) ? value.ToString("0.000", CultureInfo.InvariantCulture) : "not finite";
}
