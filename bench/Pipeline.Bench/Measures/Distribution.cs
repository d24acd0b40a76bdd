namespace Pipeline.Bench.Measures;

/// <summary>Order statistics of a few or many measurements.</summary>
internal static class Distribution
{
    /// <summary>The value that a share of the measurements does not exceed, interpolated between neighbours; NaN of none.</summary>
    /// <param name="values">Measurements in any order.</param>
    /// <param name="share">From 0, the least, to 1, the greatest.</param>
    public static double Quantile(IEnumerable<double> values, double share)
    {
        double[] sorted = [.. values.Order()];
        if (sorted.Length == 0) return double.NaN;
        var place = share * (sorted.Length - 1);
        var below = (int)place;
        return below + 1 < sorted.Length ? sorted[below] + (place - below) * (sorted[below + 1] - sorted[below]) : sorted[below];
    }

    /// <summary>The middle measurement.</summary>
    public static double Median(IEnumerable<double> values) => Quantile(values, 0.5);
}
