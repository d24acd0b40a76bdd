using System.Globalization;

namespace Pipeline.Runs;

/// <summary>Maps values of one axis to pixels, and chooses ticks at 1, 2 or 5 times a power of ten.</summary>
/// <param name="From">The value at <paramref name="FromPixel"/>.</param>
/// <param name="To">The value at <paramref name="ToPixel"/>; greater than <paramref name="From"/>.</param>
/// <param name="FromPixel">Pixel of the lower end.</param>
/// <param name="ToPixel">Pixel of the upper end; may be the smaller one.</param>
internal sealed record PlotScale(double From, double To, double FromPixel, double ToPixel)
{
    /// <summary>A scale over a range that may be empty; then it is widened around its value.</summary>
    internal static PlotScale Over(double from, double to, double fromPixel, double toPixel)
    {
        if (to > from)
            return new PlotScale(from, to, fromPixel, toPixel);
        var half = Math.Max(Math.Abs(from) * 0.1, 0.5);
        return new PlotScale(from - half, from + half, fromPixel, toPixel);
    }

    internal double Pixel(double value) => FromPixel + (value - From) / (To - From) * (ToPixel - FromPixel);

    internal IReadOnlyList<(double Value, string Label)> Ticks(int targetCount, bool wholeNumbers = false)
    {
        var step = NiceStep((To - From) / targetCount);
        if (wholeNumbers)
            step = Math.Max(1, step);
        var ticks = new List<(double, string)>();
        // Counted in whole steps, so that no rounding piles up.
        for (var index = Math.Ceiling(From / step - 1e-9); index * step <= To + step * 1e-9; index++)
            ticks.Add((index * step, Label(index * step, step)));
        return ticks;
    }

    private static double NiceStep(double rough)
    {
        var power = Math.Pow(10, Math.Floor(Math.Log10(rough)));
        return (rough / power) switch
        {
            <= 1 => power,
            <= 2 => 2 * power,
            <= 5 => 5 * power,
            _ => 10 * power,
        };
    }

    private static string Label(double value, double step)
    {
        if (value == 0)
            return "0";
        // As many decimals as the step needs; very small numbers, such as learning rates, in powers of ten.
        if (step < 1e-4)
            return value.ToString("0.##e-0", CultureInfo.InvariantCulture);
        var decimals = Math.Max(0, -(int)Math.Floor(Math.Log10(step) + 1e-9));
        return value.ToString(FormattableString.Invariant($"N{decimals}"), CultureInfo.InvariantCulture);
    }
}
