namespace Pipeline.Cli.Planning;

/// <summary>A mean of times that leaves out the few which say nothing of the work: a collection, a page that had to be fetched.</summary>
internal static class SteadyMean
{
    private const double OutlierFactor = 5;

    /// <summary>The mean of those up to some times the median; 0 of none.</summary>
    internal static double Of(IEnumerable<double> values)
    {
        var sorted = values.Order().ToArray();
        if (sorted.Length == 0) return 0;
        var limit = Math.Max(0, OutlierFactor * sorted[sorted.Length / 2]);
        return sorted.Where(value => value <= limit).DefaultIfEmpty(0).Average();
    }
}
