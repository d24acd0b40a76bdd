namespace Pipeline.Runs;

/// <summary>What is done to a curve before it is drawn.</summary>
internal static class LossCurve
{
    private const int ReachesPerRun = 40;
    private const int MaxReach = 200;

    /// <summary>
    /// Mean over a window around each value of a twentieth of the run, at most 401 steps. At the start the window shrinks evenly, so that the curve
    /// begins at the first loss and does not lag where it falls fast. Values that are not finite are passed over and leave a gap.
    /// </summary>
    internal static double[] Smooth(double[] values)
    {
        var reach = Math.Min(values.Length / ReachesPerRun, MaxReach);
        var smoothed = new double[values.Length];
        for (var index = 0; index < values.Length; index++)
        {
            var side = Math.Min(reach, index);
            var end = Math.Min(index + side + 1, values.Length);
            smoothed[index] = double.IsFinite(values[index]) ? FiniteMean(values.AsSpan(index - side, end - (index - side))) : double.NaN;
        }

        return smoothed;
    }

    /// <summary>Summed anew for each window: a running sum would remember a loss of 1e30 for ever.</summary>
    private static double FiniteMean(ReadOnlySpan<double> values)
    {
        var (sum, count) = (0.0, 0);
        foreach (var value in values)
        {
            if (double.IsFinite(value))
                (sum, count) = (sum + value, count + 1);
        }

        return sum / count;
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
