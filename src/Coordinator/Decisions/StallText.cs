using Pipeline.Protocol;

namespace Pipeline.Coordinator;

/// <summary>Says what a run that does not move waits for. Pure.</summary>
internal static class StallText
{
    internal static string For(RunProgress progress, RankTable ranks, IEnumerable<NodeProtocol.HostedReport> standing)
    {
        var stages = standing.SelectMany(report => report.Stages).GroupBy(stage => stage.Rank).ToDictionary(group => group.Key, group => group.MaxBy(stage => stage.Generation)!);
        var missing = ranks.Unready.Count > 0 ? ranks.Unready.Order() : progress.Missing.AsEnumerable();
        var parts = missing.Select(rank => stages.TryGetValue(rank, out var stage)
            ? $"rank {rank} (at step {stage.Step}) {(stage.Awaits.Length > 0 ? "awaits " + stage.Awaits : "computes")}"
            : $"rank {rank} has not answered");
        var what = ranks.Unready.Count > 0 ? "Not every rank got its state" : $"Step {progress.Committed + 1} was not completed by every rank";
        return $"{what}, although everything was sent again: {string.Join("; ", parts)}. Resume the run from its newest checkpoint.";
    }
}
