using System.Collections.Immutable;
using System.Globalization;
using Pipeline.Cli.Commands;

namespace Pipeline.Cli.Planning;

/// <summary>A report as lines of text.</summary>
internal static class SimulationText
{
    private const double GiB = 1 << 30;
    private const int MaxRankCount = 16;

    public static IEnumerable<string> Lines(SimulationReport report)
    {
        yield return $"world      {report.World}";
        yield return $"costs      {report.Costs}";
        yield return Line($"schedule   {report.Schedule}: {report.Ranks} ranks, {report.StageCount} stages, {report.MicroBatches} micro-batches of {report.MicroBatchSize}, recompute {report.Recompute}; {report.Actions:N0} actions");
        yield return Line($"step       {PlanCommand.Seconds(report.StepSeconds)}, {report.TokensPerSecond:N0} tokens a second");
        yield return Line($"idle       {report.Idle * 100:0.0} % of the ranks' time");
        yield return Line($"memory     {report.PeakBytes / GiB:0.00} GiB on the fullest rank{(report.Misfit is null ? "" : $"; does not fit: {report.Misfit}")}");
        if (report.MisfitPlace is { } place) yield return "           " + place.TrimEnd().Replace("\n", "\n           ", StringComparison.Ordinal);
        var kinds = string.Join(", ", report.CriticalPath.SecondsByKind.Select(pair => Line($"{pair.Key} {pair.Value / report.StepSeconds * 100:0.0} %")));
        yield return Line($"critical   {report.CriticalPath.Actions:N0} actions over {report.CriticalPath.RanksTouched} ranks: {kinds}, under way {report.CriticalPath.DelaySeconds / report.StepSeconds * 100:0.0} %");
        if (report.Reductions is { } reductions)
            yield return Line($"reduction  {PlanCommand.Seconds(reductions.LongestSeconds)} on the rank with most of it, {PlanCommand.Seconds(reductions.ExposedSeconds)} of it exposed");
        if (report.Replicas.Length > 1)
        {
            var slowest = report.Replicas.Single(replica => replica.IsSlowest);
            var others = report.Replicas.Where(replica => !replica.IsSlowest).OrderByDescending(replica => replica.StepSeconds)
                .Select(replica => Line($"{replica.First}{(replica.Count > 1 ? Line($" and {replica.Count - 1} like it") : "")} {PlanCommand.Seconds(replica.StepSeconds)}"));
            yield return Line($"replicas   the step ends with replica {slowest.First}{(slowest.Count > 1 ? Line($" and {slowest.Count - 1} like it") : "")}, of which all this is: {PlanCommand.Seconds(slowest.StepSeconds)}; {string.Join(", ", others)}");
        }

        yield return "";
        yield return "rank device    busy  transfer    wait  bubble  in flight   state GiB  activations GiB";
        foreach (var rank in Shown(report))
        {
            yield return Line(
                $"{rank.Rank,4} {rank.Device,6} {Share(rank.Busy)} {Share(rank.Transfer),9} {Share(rank.Wait)} {Share(rank.Bubble)} {rank.PeakInFlight,10} {rank.StateBytes / GiB,11:0.00} {rank.PeakActivationBytes / GiB,16:0.00}");
        }

        // With one stage a rank the lines above say it all.
        if (report.StageCount > report.Ranks)
        {
            yield return "";
            yield return "stage   rank   units    busy    idle before its actions   state GiB  activations GiB";
            foreach (var stage in Shown(report.Stages))
                yield return Line($"{stage.Stage,5} {stage.Rank,6} {stage.UnitCount,7} {Share(stage.Busy)} {Share(stage.Idle),26} {stage.StateBytes / GiB,11:0.00} {stage.PeakActivationBytes / GiB,16:0.00}");
        }

        string Share(double seconds) => Line($"{seconds / report.StepSeconds * 100,5:0.0} %");
    }

    // All of a few; of many the first and the last, the busiest, the idlest and the fullest.
    private static IEnumerable<RankTimeView> Shown(SimulationReport report)
    {
        var ranks = report.RankTimes;
        if (ranks.Length <= MaxRankCount) return ranks;
        return ranks.Take(4).Concat(ranks.TakeLast(4))
            .Append(ranks.MaxBy(rank => rank.Busy)!).Append(ranks.MinBy(rank => rank.Busy)!).Append(ranks.MaxBy(rank => rank.StateBytes + rank.PeakActivationBytes)!)
            .Distinct().OrderBy(rank => rank.Rank);
    }

    // All of a few; of many the first and the last, the busiest, the idlest and the fullest.
    private static IEnumerable<StageView> Shown(ImmutableArray<StageView> stages) => stages.Length <= 2 * MaxRankCount
        ? stages
        : stages.Take(4).Concat(stages.TakeLast(4))
            .Append(stages.MaxBy(stage => stage.Busy)!).Append(stages.MaxBy(stage => stage.Idle)!).Append(stages.MaxBy(stage => stage.StateBytes + stage.PeakActivationBytes)!)
            .Distinct().OrderBy(stage => stage.Stage);

    private static string Line(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
