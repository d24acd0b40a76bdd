using System.Collections.Immutable;
using Pipeline.Cli.Configuration;
using Pipeline.Schedules;

namespace Pipeline.Cli.Planning;

/// <summary>What a simulation found, in plain values for text and JSON; times in seconds, sizes in bytes.</summary>
internal sealed record SimulationReport
{
    /// <summary>Where: nodes, ranks, replicas.</summary>
    public required string World { get; init; }

    /// <summary>Where the costs are from.</summary>
    public required string Costs { get; init; }

    /// <summary>Name of the schedule.</summary>
    public required string Schedule { get; init; }

    /// <summary>Ranks of a pipeline.</summary>
    public required int Ranks { get; init; }

    /// <summary>Stages over its ranks.</summary>
    public required int StageCount { get; init; }

    /// <summary>Micro-batches of a step.</summary>
    public required int MicroBatches { get; init; }

    /// <summary>Samples of each.</summary>
    public required int MicroBatchSize { get; init; }

    /// <summary>What is recomputed.</summary>
    public required string Recompute { get; init; }

    /// <summary>Actions simulated.</summary>
    public required long Actions { get; init; }

    /// <summary>Duration of a step.</summary>
    public required double StepSeconds { get; init; }

    /// <summary>Tokens a second over all replicas.</summary>
    public required double TokensPerSecond { get; init; }

    /// <summary>Share of the ranks' time without computation.</summary>
    public required double Idle { get; init; }

    /// <summary>The fullest rank's bytes.</summary>
    public required long PeakBytes { get; init; }

    /// <summary>Why it does not fit; null where it does.</summary>
    public required string? Misfit { get; init; }

    /// <summary>The action with which a rank first holds more than it has, in the table around it; null where it fits.</summary>
    public required string? MisfitPlace { get; init; }

    /// <summary>The chain of actions that the step hinges on.</summary>
    public required CriticalPathView CriticalPath { get; init; }

    /// <summary>Reductions: their total time, and how much of it holds up the step.</summary>
    public required ReductionView? Reductions { get; init; }

    /// <summary>Each kind of replica; all the rest of the report is of the slowest.</summary>
    public required ImmutableArray<ReplicaView> Replicas { get; init; }

    /// <summary>Each stage.</summary>
    public required ImmutableArray<StageView> Stages { get; init; }

    /// <summary>Each rank.</summary>
    public required ImmutableArray<RankTimeView> RankTimes { get; init; }

    /// <summary>The report of a simulated step.</summary>
    public static SimulationReport Of(RunSettings settings, PlanWorld world, PlanCandidate candidate, SimulatedStep step)
    {
        var path = Schedules.CriticalPath.Of(step);
        var slowest = world.Pipelines[candidate.SlowestPipeline];
        var peaks = ScheduleValidator.PeakInFlight(step.Schedule);
        var times = StageTimes(step);
        var held = MemoryUse.OfStages(step.Schedule, step.Model.Memory);
        var tokens = (double)settings.Step.SampleCount / settings.Step.ReplicaCount * settings.Model.Context * settings.ReplicasToReckonWith;
        return new SimulationReport
        {
            World = world.Description,
            Costs = world.Profile.Source,
            Schedule = candidate.Kind,
            Ranks = step.Schedule.RankCount,
            StageCount = step.Schedule.StageCount,
            MicroBatches = candidate.MicroBatchCount,
            MicroBatchSize = candidate.MicroBatchSize,
            Recompute = candidate.Recompute.ToString(),
            Actions = step.ActionCount,
            StepSeconds = step.Duration,
            TokensPerSecond = tokens / step.Duration,
            Idle = step.BubbleShare,
            PeakBytes = candidate.PeakBytes,
            Misfit = candidate.Misfit,
            MisfitPlace = candidate.Fits ? null : ScheduleValidator.Fault(step.Schedule, ScheduleLimits.Loosest(step.Schedule) with
            {
                Memory = new MemoryCap(step.Model.Memory, [.. candidate.NodeOfRank.Select(node => world.Ranks[node].MemoryBytes)]),
            }),
            CriticalPath = new CriticalPathView(
                path.Actions.Length, path.Delay,
                Enum.GetValues<ActionKind>().ToDictionary(kind => kind.Term(), path.TimeIn).Where(pair => pair.Value > 0).ToDictionary(StringComparer.Ordinal),
                path.Actions.Select(action => action.Span.Rank).Distinct().Count()),
            Reductions = step.Reductions.IsEmpty ? null : Reduction(step),
            // Without a barrier a step adds less than it takes: the report is of one step alone.
            Replicas = [.. world.Pipelines.Select((pipeline, kind) => new ReplicaView(
                pipeline.FirstReplica, pipeline.ReplicaCount, candidate.PipelineTimes[kind], kind == candidate.SlowestPipeline))],
            Stages = [.. Enumerable.Range(0, step.Schedule.StageCount).Select(stage => new StageView(
                stage, step.Schedule.RankOfStage[stage], candidate.Partition[stage].Start, candidate.Partition[stage].Count,
                step.Model.Memory[stage].Static, step.Model.Memory[stage].Kept, times[stage].Busy, times[stage].Idle, held[stage]))],
            RankTimes = [.. step.Ranks.Select(rank => new RankTimeView(
                rank.Rank, (slowest.FirstReplica * step.Schedule.RankCount) + candidate.NodeOfRank[rank.Rank], rank.Busy, rank.Transfer, rank.Wait, rank.Bubble, peaks[rank.Rank],
                step.Memory[rank.Rank].State, step.Memory[rank.Rank].Activations))],
        };
    }

    // A rank's idle time is that of the stage whose action ends it, or was its last: all the time of a rank is that of one of its stages.
    private static (double Busy, double Idle)[] StageTimes(SimulatedStep step)
    {
        var times = new (double Busy, double Idle)[step.Schedule.StageCount];
        for (var rank = 0; rank < step.Schedule.RankCount; rank++)
        {
            var (end, last) = (0.0, step.Schedule.StagesOf(rank)[0]);
            foreach (var span in step.Spans(rank))
            {
                last = span.Action.Stage;
                times[last].Busy += span.Duration;
                times[last].Idle += span.Start - end;
                end = span.End;
            }

            times[last].Idle += step.Duration - end;
        }

        return times;
    }

    // What the step would gain if reductions were free.
    private static ReductionView Reduction(SimulatedStep step)
    {
        var free = Simulator.Run(step.Schedule, step.Model with { Reductions = null }).Duration;
        var total = step.Reductions.GroupBy(reduction => step.Schedule.RankOfStage[reduction.Stage]).Max(group => group.Sum(reduction => reduction.End - reduction.Start));
        return new ReductionView(total, step.Duration - free);
    }
}

/// <summary>The critical path in sums.</summary>
internal sealed record CriticalPathView(int Actions, double DelaySeconds, IReadOnlyDictionary<string, double> SecondsByKind, int RanksTouched);

/// <summary>Reductions in sums.</summary>
internal sealed record ReductionView(double LongestSeconds, double ExposedSeconds);

/// <summary>Replicas on devices that are alike.</summary>
internal sealed record ReplicaView(int First, int Count, double StepSeconds, bool IsSlowest);

/// <summary>One stage: what it keeps of one micro-batch, and of all that it holds at its own peak; how long it computes, and how long its rank is idle before its actions.</summary>
internal sealed record StageView(
    int Stage, int Rank, int FirstUnit, int UnitCount, long StateBytes, long ActivationBytes, double Busy, double Idle, long PeakActivationBytes);

/// <summary>One rank; the four times add up to the step.</summary>
internal sealed record RankTimeView(
    int Rank, int Device, double Busy, double Transfer, double Wait, double Bubble, int PeakInFlight, long StateBytes, long PeakActivationBytes);
