using Pipeline.Protocol;
using Pipeline.Runs;
using Pipeline.Schedules;
using Timeline = Pipeline.Runs.Timeline;

namespace Pipeline.Coordinator;

/// <summary>
/// Collects the executed actions of traced steps for the time line and the trace. Their clock is one machine's monotonic clock, so
/// ranks of one machine share it.
/// </summary>
public sealed class TracedSteps : IRunObserver
{
    private const double TicksPerSecond = 10_000_000;
    private readonly List<(long Step, int Rank, StageAction Action, ExecutedSpan Span)> _spans = [];
    private readonly Dictionary<(long Step, int Rank), StepTiming> _timings = [];

    /// <summary>Whether any step was traced.</summary>
    public bool IsEmpty => _spans.Count == 0;

    /// <summary>The steps that were traced, rising.</summary>
    public IReadOnlyList<long> Steps => [.. _spans.Select(span => span.Step).Distinct().Order()];

    /// <summary>
    /// For every action that waited for an input: seconds from the input's arrival in the process to the action's start.
    /// </summary>
    public IReadOnlyList<double> ReadyToStartSeconds =>
        [.. _spans.Where(span => span.Span.ReadyTicks > 0).Select(span => (span.Span.StartTicks - span.Span.ReadyTicks) / TicksPerSecond)];

    /// <inheritdoc/>
    public void OnNotice(RunNotice notice)
    {
        if (notice is not RunNotice.StepCommitted { Step: var step }) return;
        foreach (var rank in step.Ranks.Where(rank => rank.Spans.Count > 0)) _timings[(step.Step, rank.Rank)] = rank.Timing;
        foreach (var rank in step.Ranks)
            _spans.AddRange(rank.Spans.Select(span => (step.Step, rank.Rank, StageAction.Parse(span.Action), span)));
    }

    /// <summary>Where a rank's time of a traced step went; null where nothing was traced of it.</summary>
    public StepTiming? Timing(long step, int rank) => _timings.GetValueOrDefault((step, rank));

    /// <summary>The executed actions of all traced steps, or of one, on the processes' common clock, in seconds.</summary>
    public IEnumerable<ActionSpan> Spans(long? step = null) => _spans.Where(span => step is null || span.Step == step)
        .Select(span => new ActionSpan(span.Rank, span.Action, span.Span.StartTicks / TicksPerSecond, span.Span.EndTicks / TicksPerSecond));

    /// <summary>The time line of all traced steps, or of one.</summary>
    /// <param name="title">Heads the plot.</param>
    /// <param name="step">One of them; null for all.</param>
    public Timeline ToTimeline(string title, long? step = null)
    {
        var chosen = _spans.Where(span => step is null || span.Step == step).ToArray();
        if (chosen.Length == 0) return new Timeline(title, [], []);
        var origin = chosen.Min(span => span.Span.StartTicks);
        var lanes = Enumerable.Range(0, chosen.Max(span => span.Rank) + 1).Select(rank => new TimelineLane($"rank {rank}"));
        return new Timeline(title, [.. lanes], [.. chosen.Select(span => Drawn(span, origin))], Flows(chosen));
    }

    private static TimelineSpan Drawn((long Step, int Rank, StageAction Action, ExecutedSpan Span) span, long origin) => new(
        span.Rank,
        span.Span.Action,
        Word(span.Action.Kind),
        span.Action.Kind.IsStepLevel() ? null : span.Action.MicroBatch,
        (span.Span.StartTicks - origin) / TicksPerSecond,
        (span.Span.EndTicks - origin) / TicksPerSecond,
        span.Step);

    private static string Word(ActionKind kind) => kind.IsStepLevel() ? kind.Term() : kind.Letter().ToString();

    private static List<TimelineFlow> Flows((long Step, int Rank, StageAction Action, ExecutedSpan Span)[] spans)
    {
        var replicas = ReplicaOfRank(spans);
        Dictionary<(long, int, StageAction), int> places = [];
        for (var index = 0; index < spans.Length; index++) places.TryAdd((spans[index].Step, replicas[spans[index].Rank], spans[index].Action), index);
        List<TimelineFlow> flows = [];
        for (var index = 0; index < spans.Length; index++)
        {
            var action = spans[index].Action;
            var source = action.Kind switch
            {
                ActionKind.Forward => (action with { Stage = action.Stage - 1 }, "activation"),
                ActionKind.Backward => (action with { Stage = action.Stage + 1 }, "gradient"),
                _ => default,
            };
            if (source.Item2 is { } name && places.TryGetValue((spans[index].Step, replicas[spans[index].Rank], source.Item1), out var from)) flows.Add(new TimelineFlow(name, from, index));
        }

        return flows;
    }

    /// <summary>Replicas follow one another, so the next rank that holds a stage which the present one has already begins another.</summary>
    private static Dictionary<int, int> ReplicaOfRank((long Step, int Rank, StageAction Action, ExecutedSpan Span)[] spans)
    {
        Dictionary<int, int> replicas = [];
        HashSet<int> held = [];
        var replica = 0;
        foreach (var rank in spans.GroupBy(span => span.Rank, span => span.Action.Stage).OrderBy(rank => rank.Key))
        {
            var stages = rank.ToHashSet();
            if (held.Overlaps(stages)) (replica, held) = (replica + 1, []);
            held.UnionWith(stages);
            replicas.Add(rank.Key, replica);
        }

        return replicas;
    }
}
