namespace Pipeline.Operator;

/// <summary>A curve as one line of blocks, as wide as asked: each is the mean of its share of the values.</summary>
public static class Sparkline
{
    private const string Blocks = "▁▂▃▄▅▆▇█";

    /// <summary>Draws values; those that are not finite are left out.</summary>
    public static string Of(IReadOnlyList<double> values, int width)
    {
        double[] finite = [.. values.Where(double.IsFinite)];
        if (finite.Length == 0) return "";
        var count = Math.Min(width, finite.Length);
        var means = Enumerable.Range(0, count).Select(place =>
        {
            var (from, to) = ((int)((long)place * finite.Length / count), (int)((place + 1L) * finite.Length / count));
            return finite[from..to].Average();
        }).ToArray();
        var (least, most) = (means.Min(), means.Max());
        return string.Concat(means.Select(mean => Blocks[most > least ? (int)Math.Round((mean - least) / (most - least) * (Blocks.Length - 1)) : 0]));
    }
}
