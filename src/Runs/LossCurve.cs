namespace Pipeline.Runs;

/// <summary>What is done to a curve before it is drawn.</summary>
internal static class LossCurve
{
    private const int WindowsPerRun = 40;

    /// <summary>
    /// Exponential mean over about a fortieth of the run, corrected for its start (as Adam corrects its moments), so that the first value
    /// is the first loss. Values that are not finite are passed over and leave a gap.
    /// </summary>
    internal static double[] Smooth(double[] values)
    {
        var decay = 1 - 2 / (1 + Math.Max(1.0, (double)values.Length / WindowsPerRun));
        var smoothed = new double[values.Length];
        var (sum, weight) = (0.0, 0.0);
        for (var index = 0; index < values.Length; index++)
        {
            if (double.IsFinite(values[index]))
                (sum, weight) = (decay * sum + (1 - decay) * values[index], decay * weight + (1 - decay));
            smoothed[index] = double.IsFinite(values[index]) ? sum / weight : double.NaN;
        }

        return smoothed;
    }

    /// <summary>Keeps at most the first, lowest, highest and last point of each pixel column: the picture stays, the text stays small.</summary>
    internal static IEnumerable<(double X, double Y)> Thin(List<(double X, double Y)> points)
    {
        for (int start = 0, end; start < points.Count; start = end)
        {
            end = start + 1;
            while (end < points.Count && Math.Floor(points[end].X) == Math.Floor(points[start].X))
                end++;
            if (end - start <= 4)
            {
                for (var index = start; index < end; index++)
                    yield return points[index];
                continue;
            }

            foreach (var index in Extremes(points, start, end))
                yield return points[index];
        }
    }

    private static IEnumerable<int> Extremes(List<(double X, double Y)> points, int start, int end)
    {
        var (lowest, highest) = (start, start);
        for (var index = start; index < end; index++)
        {
            // A comparison with NaN is false, so gaps inside one column are passed over.
            if (points[index].Y < points[lowest].Y || double.IsNaN(points[lowest].Y))
                lowest = index;
            if (points[index].Y > points[highest].Y || double.IsNaN(points[highest].Y))
                highest = index;
        }

        return new SortedSet<int> { start, lowest, highest, end - 1 };
    }
}
