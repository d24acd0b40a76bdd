using Pipeline.Operator;

namespace Pipeline.Dashboard;

/// <summary>So many points of a course that a page can draw, however long it is. Pure.</summary>
internal static class PointThinning
{
    /// <summary>Means over equal parts of the steps; where there are few, the steps themselves. The last point is the newest step.</summary>
    internal static IReadOnlyList<StepPoint> Thin(IReadOnlyList<StepPoint> points, int count)
    {
        if (points.Count <= count) return points;
        List<StepPoint> thinned = new(count);
        for (var place = 0; place < count; place++)
        {
            var (from, to) = ((int)((long)place * points.Count / count), (int)((place + 1L) * points.Count / count));
            thinned.Add(Mean(points, from, to));
        }

        return thinned;
    }

    private static StepPoint Mean(IReadOnlyList<StepPoint> points, int from, int to)
    {
        var part = Enumerable.Range(from, to - from).Select(index => points[index]).ToArray();
        return new StepPoint(
            part[^1].Step, Mean(part.Select(one => one.Loss)), Mean(part.Select(one => one.GradientNorm)), part.Average(one => one.LearningRate),
            (long)part.Average(one => one.Tokens), part.Average(one => one.Seconds), part.Average(one => one.Bubble));
    }

    /// <summary>Steps that were passed over have no loss.</summary>
    private static double Mean(IEnumerable<double> values) => values.Where(double.IsFinite).DefaultIfEmpty(double.NaN).Average();
}
