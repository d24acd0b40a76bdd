namespace Pipeline.Runs;

/// <summary>A row of a timeline: a stage, or another worker with work of its own.</summary>
/// <param name="Name">What stands beside the row.</param>
/// <param name="Bubble">Idle share, 0 to 1; null to compute it from the spans.</param>
/// <param name="Process">The node that it runs on; empty where there is one.</param>
public sealed record TimelineLane(string Name, double? Bubble = null, string Process = "");

/// <summary>One executed action. Times count from any common origin.</summary>
/// <param name="Lane">Index of its lane.</param>
/// <param name="Label">The action in full, such as <c>2F0</c>.</param>
/// <param name="Kind">What decides the colour: <c>F</c>, <c>B</c>, <c>I</c>, <c>W</c>, <c>R</c>, <c>optimizer</c>, or any other word.</param>
/// <param name="MicroBatch">Its micro-batch, if it has one.</param>
/// <param name="StartSeconds">Begin.</param>
/// <param name="EndSeconds">End.</param>
/// <param name="Step">Its step, if known.</param>
public sealed record TimelineSpan(int Lane, string Label, string Kind, int? MicroBatch, double StartSeconds, double EndSeconds, long? Step = null)
{
    internal double Seconds => EndSeconds - StartSeconds;
}

/// <summary>An activation or gradient on its way from one action to another.</summary>
/// <param name="Name">What travels.</param>
/// <param name="FromSpan">Index of the span that sent it.</param>
/// <param name="ToSpan">Index of the span that used it.</param>
public sealed record TimelineFlow(string Name, int FromSpan, int ToSpan);

/// <summary>What was executed, where and when.</summary>
/// <param name="Title">Heads the plot.</param>
/// <param name="Lanes">Top to bottom.</param>
/// <param name="Spans">In any order.</param>
/// <param name="Flows">Between spans; plots leave them out, traces draw them.</param>
public sealed record Timeline(string Title, IReadOnlyList<TimelineLane> Lanes, IReadOnlyList<TimelineSpan> Spans, IReadOnlyList<TimelineFlow>? Flows = null)
{
    /// <summary>Searched for on each call.</summary>
    internal double Start => Spans.Count == 0 ? 0 : Spans.Min(span => span.StartSeconds);

    /// <inheritdoc cref="Start"/>
    internal double End => Spans.Count == 0 ? 0 : Spans.Max(span => span.EndSeconds);

    /// <summary>Idle share of a lane over the whole timeline; overlapping spans count once.</summary>
    internal double BubbleOf(int lane)
    {
        if (Lanes[lane].Bubble is { } given)
            return given;
        var (busy, covered) = (0.0, double.NegativeInfinity);
        foreach (var span in Spans.Where(span => span.Lane == lane).OrderBy(span => span.StartSeconds))
        {
            busy += Math.Max(0, span.EndSeconds - Math.Max(covered, span.StartSeconds));
            covered = Math.Max(covered, span.EndSeconds);
        }

        var seconds = End - Start;
        return seconds > 0 ? 1 - busy / seconds : 0;
    }
}
