using Pipeline.Coordinator;
using Pipeline.Protocol;
using Pipeline.Runs;
using Xunit;

namespace Pipeline.Tests.Coordinator;

public sealed class RunRecorderTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("pipeline-recorder-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void Steps_evaluations_digests_and_events_come_into_their_files()
    {
        RunFiles files = new(_folder);
        using (RunRecorder recorder = new(
            MetricsWriter.Create(files.Metrics), DigestFile.Create(files.Digests), EventLog.Open(files.Events, TimeProvider.System), bitsPerByte: loss => loss / 2))
        {
            recorder.OnNotice(new RunNotice.StepCommitted(Step(1, [])));
            recorder.OnNotice(new RunNotice.StepCommitted(Step(2, [new ParameterDigest("head", "head.weight", "aa", "bb", "cc")])));
            recorder.OnNotice(new RunNotice.Evaluated(2, 3.5, 10));
            recorder.OnNotice(new RunNotice.CheckpointSaved(2, 100, "cannot prune"));
            recorder.OnNotice(new RunNotice.SaveFailed(3, "disk full"));
            recorder.OnNotice(new RunNotice.Ended(new RunOutcome(RunEnd.Completed, 2)));
        }

        var lines = File.ReadAllLines(files.Metrics);
        Assert.Equal(3, lines.Length);
        Assert.Contains("\"bubble\":0.25", lines[0], StringComparison.Ordinal);
        Assert.Contains("\"digest\":{\"head\":", lines[1], StringComparison.Ordinal);
        Assert.Contains("\"val_loss\":3.5", lines[2], StringComparison.Ordinal);
        Assert.Equal(new TensorDigest("head", "head.weight", "aa", "bb", "cc"), Assert.Single(Assert.Single(DigestFile.Read(files.Digests)).Tensors));
        var events = File.ReadAllText(files.Events);
        Assert.All(new[] { "checkpoint-saved", "prune-failed", "save-failed", "run-completed" }, name => Assert.Contains(name, events, StringComparison.Ordinal));
    }

    [Fact]
    public void A_step_is_summed_up_over_its_ranks()
    {
        var summary = StepSummary.Of([
            StepLedgerTests.Report(0, 4) with { Timing = new StepTiming(2, 2, 0) },
            StepLedgerTests.Report(1, 4) with { Timing = new StepTiming(2, 1, 1) },
            // A rank beside them that only adds up is not idle in their stead.
            StepLedgerTests.Report(2, 4) with { Timing = new StepTiming(2, 0, 2) },
        ], 3, 2, new Generation(7));
        Assert.Equal((4L, 0.5, 2.0, 0.25, 7), (summary.Step, summary.Loss, summary.Seconds, summary.Bubble, summary.Generation));
        Assert.Equal([0, 0.5, 1], summary.Ranks.Select(rank => rank.Timing.Bubble));
    }

    private static StepSummary Step(long step, IReadOnlyList<ParameterDigest> digests) =>
        new(step, 4, 1, 0.1, 8, 2, 0.25, [new RankSummary(0, new StepTiming(2, 1.5, 0.5), 10, [])], digests);
}
