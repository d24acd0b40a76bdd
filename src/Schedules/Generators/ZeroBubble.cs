namespace Pipeline.Schedules;

/// <summary>
/// The two hand-made zero-bubble schedules of Qi et al. 2023, "Zero Bubble Pipeline Parallelism", section 2: 1F1B whose
/// backward is split, the weight-gradient halves kept back to fill what would be idle.
/// <list type="bullet">
/// <item>ZB-H1: rank r warms up with p−r−1 forwards and keeps r weight-gradient halves back, so every rank holds at most p
/// micro-batches. Bubble (p−1)(F+I−W) for m ≥ p, W ≤ I and W ≤ F, if the stages are equal. For W &gt; F it is (p−1)·I, the
/// least that any schedule of this memory has: rank 0 may begin p forwards, and the first gradient reaches it (p−1)·I
/// after the last of them.</item>
/// <item>ZB-H2: twice the warm-up, 2(p−r−1), and 2r halves kept back, so every rank holds at most 2p−1. Without a barrier at
/// the optimizer each rank works without a pause for m ≥ 2p−1 and F = I = W; with one the ranks' shift remains.</item>
/// </list>
/// </summary>
public sealed class ZeroBubble : IScheduleGenerator
{
    private readonly int _depth;

    private ZeroBubble(string name, string summary, int depth)
    {
        Name = name;
        Summary = summary;
        _depth = depth;
    }

    /// <summary>ZB-H1, with the memory of 1F1B's first stage on every rank.</summary>
    public static ZeroBubble H1 { get; } = new("zb-h1", "split backward in 1F1B's memory; about a third of its bubble", depth: 1);

    /// <summary>ZB-H2, with about twice that memory.</summary>
    public static ZeroBubble H2 { get; } = new("zb-h2", "split backward in twice 1F1B's memory; no pause inside a rank", depth: 2);

    /// <inheritdoc/>
    public string Name { get; }

    /// <inheritdoc/>
    public string Summary { get; }

    /// <inheritdoc/>
    public bool UsesSplitBackward => true;

    /// <inheritdoc/>
    public StagesPerRank StagesPerRank => StagesPerRank.One;

    /// <inheritdoc/>
    public Schedule Generate(ScheduleShape shape)
    {
        StagesPerRank.Require(Name, shape);
        return ScheduleRows.Looped(Name, shape, rank => Row(rank, shape));
    }

    /// <inheritdoc/>
    public ScheduleLimits LimitsFor(ScheduleShape shape) => new(
        MailboxCapacity: Math.Min(_depth, shape.MicroBatchCount),
        [.. Enumerable.Repeat(Math.Min((_depth * (shape.RankCount - 1)) + 1, shape.MicroBatchCount), shape.RankCount)]);

    private IEnumerable<StageAction> Row(int stage, ScheduleShape shape)
    {
        var warmUpCount = _depth * (shape.RankCount - stage - 1);
        var keptBackCount = _depth * stage;
        for (var index = 0; index < shape.MicroBatchCount + warmUpCount + keptBackCount; index++)
        {
            if (index < shape.MicroBatchCount)
                yield return ScheduleRows.Forward(stage, index);
            if (index - warmUpCount is var input && input >= 0 && input < shape.MicroBatchCount)
                yield return ScheduleRows.InputGradient(stage, input);
            if (index - warmUpCount - keptBackCount is var weight && weight >= 0 && weight < shape.MicroBatchCount)
                yield return ScheduleRows.WeightGradient(stage, weight);
        }
    }
}
