using System.Collections.Immutable;

namespace Pipeline.Schedules;

/// <summary>
/// A simulated step too large to draw action by action: for each band of ranks and each slice of time the shares of the time
/// spent in each kind of action. What is missing to 1 is idle.
/// </summary>
public sealed class DensityMap
{
    private readonly float[] _shares;

    private DensityMap(int bandCount, int sliceCount, double duration, int ranksPerBand)
    {
        BandCount = bandCount;
        SliceCount = sliceCount;
        Duration = duration;
        RanksPerBand = ranksPerBand;
        _shares = new float[bandCount * sliceCount * Groups.Length];
    }

    /// <summary>The groups of kinds that are told apart: forward, backward (whole or its input half), weight half, recompute, and what ends the step.</summary>
    public static ImmutableArray<ActionKind> Groups { get; } = [ActionKind.Forward, ActionKind.Backward, ActionKind.WeightGradient, ActionKind.Recompute, ActionKind.Optimizer];

    /// <summary>Bands of ranks, top to bottom.</summary>
    public int BandCount { get; }

    /// <summary>Slices of time.</summary>
    public int SliceCount { get; }

    /// <summary>What the slices cover.</summary>
    public double Duration { get; }

    /// <summary>Ranks in each band but perhaps the last.</summary>
    public int RanksPerBand { get; }

    /// <summary>Share of a cell's time in a group, from 0 to 1.</summary>
    public float Share(int band, int slice, int group) => _shares[(((band * SliceCount) + slice) * Groups.Length) + group];

    /// <summary>The map of a step, with at most so many bands and exactly so many slices.</summary>
    public static DensityMap Of(SimulatedStep step, int maxBandCount, int sliceCount)
    {
        var rankCount = step.Schedule.RankCount;
        var ranksPerBand = (rankCount + maxBandCount - 1) / maxBandCount;
        var map = new DensityMap((rankCount + ranksPerBand - 1) / ranksPerBand, sliceCount, step.Duration, ranksPerBand);
        for (var rank = 0; rank < rankCount; rank++)
        {
            var band = rank / ranksPerBand;
            var ranksInBand = Math.Min(ranksPerBand, rankCount - (band * ranksPerBand));
            for (var position = 0; position < step.Schedule.Actions[rank].Length; position++)
                map.Add(band, step.Span(rank, position), 1.0 / ranksInBand);
        }

        return map;
    }

    private void Add(int band, ActionSpan span, double weight)
    {
        var perSlice = Duration / SliceCount;
        var last = Math.Min(SliceCount - 1, (int)(span.End / perSlice));
        for (var slice = Math.Min(SliceCount - 1, (int)(span.Start / perSlice)); slice <= last; slice++)
        {
            var covered = Math.Min(span.End, (slice + 1) * perSlice) - Math.Max(span.Start, slice * perSlice);
            if (covered > 0)
                _shares[(((band * SliceCount) + slice) * Groups.Length) + GroupOf(span.Action.Kind)] += (float)(weight * covered / perSlice);
        }
    }

    private static int GroupOf(ActionKind kind) => kind switch
    {
        ActionKind.Forward => 0,
        ActionKind.Backward or ActionKind.InputGradient => 1,
        ActionKind.WeightGradient => 2,
        ActionKind.Recompute => 3,
        _ => 4,
    };
}
