using Pipeline.Checkpoints;
using Pipeline.Cli.Configuration;
using Pipeline.Coordinator;
using Pipeline.Model;
using Pipeline.Protocol;
using Pipeline.Reduction;
using Pipeline.Reduction.Compression;
using Pipeline.Tests.Nodes;
using Pipeline.Tests.Training;
using Pipeline.Training;
using Xunit;

namespace Pipeline.Tests.Operator;

/// <summary>Protection and compression, changed of a run that is under way: the first changes no bit, the second those that it would change in a run that began with it.</summary>
[Collection(PipelineCollection.Name)]
public sealed class LiveSettingTests : IDisposable
{
    private const int Steps = 12;

    // Of runs within one process.
    private readonly string _folder = Directory.CreateTempSubdirectory("pipeline-live-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [InlineData(ProtectionKind.Memory, "disk")]
    [InlineData(ProtectionKind.Disk, "memory")]
    [InlineData(ProtectionKind.None, "memory")]
    [InlineData(ProtectionKind.None, "disk")]
    [InlineData(ProtectionKind.Memory, "none")]
    [InlineData(ProtectionKind.Disk, "none")]
    public async Task Copies_go_elsewhere_from_a_boundary_on_and_no_bit_changes(ProtectionKind from, string to)
    {
        using OperatedCluster run = new(from, Steps);
        await run.PauseAsync(3);
        await run.DoneAsync($"set protection {to} --yes");
        if (to != "none") await run.DoneAsync("set protection-every 2 --yes");
        var killed = run.Cluster.AtStep(11, () => Task.FromResult(true), () => run.Cluster.Kill("c"));
        await run.DoneAsync("resume");
        await run.AssertCompletedAsync();
        Assert.True(await await killed);
        // One rank alone begins anew where there are copies; without any all do.
        var recovering = run.Notices.All.OfType<RunNotice.Recovering>().First(notice => notice.Ranks.Count > 0);
        Assert.Equal(to == "none" ? 3 : 1, recovering.Ranks.Count);
        Assert.Equal(to == "disk" || from == ProtectionKind.Disk, Directory.Exists(run.In("copies")));
        if (to != "none") Assert.All(run.Cluster.Work.Where(work => work.Key.Rank != recovering.Ranks[0].Rank), work => Assert.Equal(1, work.Value));
    }

    [Fact]
    public async Task Copies_are_taken_as_often_as_is_said_last_while_the_run_goes_on()
    {
        using OperatedCluster run = new(ProtectionKind.Memory, Steps, nodeCount: 4);
        System.Collections.Concurrent.ConcurrentDictionary<long, bool> copied = new();
        var changed = run.Cluster.AtStep(4, () => run.AskAsync("set protection-every 3 --yes"));
        var seen = run.Cluster.Network.Seen;
        run.Cluster.Network.Seen = (from, to, message) =>
        {
            seen?.Invoke(from, to, message);
            if (message is StageProtocol.CopyStored stored) copied.TryAdd(stored.Step, true);
        };
        run.Cluster.StartCoordinator("a");
        await run.AssertCompletedAsync();
        Assert.True((await await changed).IsDone);
        var first = Assert.Single(run.Notices.All.OfType<RunNotice.SettingChanged>()).Change.FromStep;
        Assert.Equal(Enumerable.Range(1, Steps).Select(step => (long)step).Where(step => step % (step < first ? 4 : 3) == 0), copied.Keys.Order());
    }

    [Fact]
    public async Task A_leader_that_takes_over_knows_where_copies_go()
    {
        using OperatedCluster run = new(ProtectionKind.Memory, Steps);
        var cluster = run.Cluster;
        JournalInMemory journal = new();
        TaskCompletionSource lost = new(TaskCreationOptions.RunContinuationsAsynchronously);
        await run.PauseAsync(3, coordinated => coordinated with { Journal = journal });
        await run.DoneAsync("set protection disk --yes");
        await run.DoneAsync("set protection-every 2 --yes");
        _ = cluster.AtStep(9, () => Task.FromResult(true), () =>
        {
            cluster.Kill("a", isHeard: false);
            lost.TrySetResult();
        });
        await run.DoneAsync("resume");
        await cluster.UntilAsync(() => lost.Task.IsCompleted);
        Assert.Equal(new RunOutcome(RunEnd.Completed, Steps), await NodeFaultTests.TakeOverAsync(cluster, journal, run.Plan.Checkpoints!.Store, ["a"]));
        TinyRun.AssertEqual(TinyRun.Reference(2, true, Precision.Fp32, Steps), run.Notices.Steps, allowsMissingDigests: true);
        // The last copies may still be on their way to the disk; those of step 10 were taken under the new leader.
        await cluster.UntilAsync(() => Directory.GetFiles(run.In("copies"), "*-step-1?.safetensors").Length > 0);
    }

    [Theory]
    [InlineData("int8", CompressionKind.Int8)]
    [InlineData("power-sgd", CompressionKind.PowerSgd)]
    public async Task What_replicas_exchange_is_compressed_from_a_boundary_on_as_in_a_run_that_began_so(string word, CompressionKind kind)
    {
        var plan = Replicas();
        var run = await OperatedTinyRun.StartAsync(_folder, plan, (step, self) => { if (step == 3) _ = self.RunAsync("pause"); });
        var first = (await run.ReachAsync("paused")).GrantedStep + 1;
        Assert.Contains("losses are no longer those", (await run.RunAsync($"set compression {word}")).Text, StringComparison.Ordinal);
        foreach (var line in new[] { $"set compression {word} --yes", "set compression-answer int8 --yes", "resume" }) Assert.True((await run.RunAsync(line)).IsDone, line);
        Assert.Equal(new RunOutcome(RunEnd.Completed, Steps), await run.Ended);
        // Steps that a run begins with uncompressed are another way to say the same.
        var settings = new CompressionSettings { Kind = kind, WarmupSteps = (int)first - 1 };
        var begun = await StepsOf(plan with { Reduction = plan.Reduction with { Contributions = settings, Answers = settings with { Kind = CompressionKind.Int8 } } });
        Assert.Equal(begun.Select(TinyRun.BitsOf), run.Notices.Steps.Select(TinyRun.BitsOf));
        Assert.NotEqual((await StepsOf(plan)).Select(TinyRun.BitsOf), begun.Select(TinyRun.BitsOf));
        Assert.Equal([(first, word), (first, "int8")], run.Notices.All.OfType<RunNotice.SettingChanged>().Select(notice => (notice.Change.FromStep, notice.Change.AsText())));
    }

    [Fact]
    public async Task Kinds_follow_one_another_and_what_was_owed_is_paid_through_the_end_of_a_process()
    {
        var plan = Replicas() with
        {
            Changes = [Compressed(3, "int4"), Compressed(5, "top-k"), Compressed(8, "none")],
            Reduction = Replicas().Reduction with { Contributions = new CompressionSettings { Kind = CompressionKind.None, Share = 0.05 } },
        };
        var whole = await StepsOf(plan);
        var bytes = whole.Select(step => step.Ranks[0].Timing.ExchangedBytes).ToArray();
        Assert.True(bytes[2] < bytes[0] && bytes[4] != bytes[2] && bytes[7] == bytes[0]);
        // Uncompressed again, it goes on from where compression has led it, and learns.
        var plain = await StepsOf(Replicas());
        Assert.NotEqual(TinyRun.BitsOf(plain[^1]), TinyRun.BitsOf(whole[^1]));
        Assert.True(whole[^1].Loss < whole[6].Loss);
        foreach (var at in new[] { 4, 7 })
        {
            var saved = plan with { Checkpoints = new CheckpointPlan(new FolderCheckpointStore(Path.Combine(_folder, $"at-{at}")), RunTests.Describe) };
            var begun = await StepsOf(saved with { Steps = at });
            Assert.Equal(whole.Select(TinyRun.BitsOf), begun.Concat(await StepsOf(saved with { ResumeFromStep = at })).Select(TinyRun.BitsOf));
        }
    }

    [Theory]
    [InlineData("int4", ProtectionKind.Memory)]
    [InlineData("int8", ProtectionKind.None)]
    public async Task A_rank_that_is_lost_later_computes_its_steps_compressed_as_before(string word, ProtectionKind protection)
    {
        using OperatedCluster run = new(protection, Steps, nodeCount: 4, plan => Replicas() with { Protection = new ProtectionDuties(protection, 3, ""), Checkpoints = plan.Checkpoints });
        await run.PauseAsync(3);
        await run.DoneAsync($"set compression {word} --yes");
        var first = Assert.Single(run.Notices.All.OfType<RunNotice.SettingChanged>()).Change.FromStep;
        _ = run.Cluster.AtStep(9, () => Task.FromResult(true), () => run.Cluster.Kill("c"));
        await run.DoneAsync("resume");
        Assert.Equal(new RunOutcome(RunEnd.Completed, Steps), await run.Cluster.UntilAsync(run.Cluster.Ended));
        Assert.NotEmpty(run.Notices.All.OfType<RunNotice.Recovered>());
        var settings = new CompressionSettings { Kind = SettingChange.ValueOf(SettingKind.GradientCompression, word) is { } value ? (CompressionKind)(int)value : default, WarmupSteps = (int)first - 1 };
        var begun = await StepsOf(run.Plan with { Checkpoints = null, Protection = ProtectionDuties.None, Reduction = run.Plan.Reduction with { Contributions = settings } });
        Assert.Equal(begun.Select(TinyRun.LossBitsOf), run.Notices.Steps.Select(TinyRun.LossBitsOf));
    }

    [Theory]
    [InlineData("int4", CompressionKind.Int4)]
    [InlineData("top-k", CompressionKind.TopK)]
    public async Task A_rank_replays_alone_across_the_step_from_which_replicas_compress(string word, CompressionKind kind)
    {
        // No copy is taken before the loss, so that the lost rank begins where the run began, fed by what the others have kept: exchanged whole at first, then compressed and answered.
        using OperatedCluster run = new(ProtectionKind.Memory, Steps, nodeCount: 5, plan => Replicas() with { Protection = new ProtectionDuties(ProtectionKind.Memory, 2 * Steps, ""), Checkpoints = plan.Checkpoints });
        await run.PauseAsync(3);
        foreach (var line in new[] { $"set compression {word} --yes", "set compression-answer int8 --yes" }) await run.DoneAsync(line);
        var first = run.Notices.All.OfType<RunNotice.SettingChanged>().Select(notice => notice.Change.FromStep).Distinct().Single();
        _ = run.Cluster.AtStep(9, () => Task.FromResult(true), () => run.Cluster.Kill("c"));
        await run.DoneAsync("resume");
        Assert.Equal(new RunOutcome(RunEnd.Completed, Steps), await run.Cluster.UntilAsync(run.Cluster.Ended));
        var lost = Assert.Single(run.Notices.All.OfType<RunNotice.Recovering>().First(notice => notice.Ranks.Count > 0).Ranks).Rank;
        Assert.All(run.Cluster.Work.Where(work => work.Key.Rank != lost), work => Assert.Equal(1, work.Value));
        var again = run.Cluster.Work.Keys.Where(work => work.Rank == lost && work.Node != "c").Select(work => work.Step).Distinct();
        Assert.Equal(Enumerable.Range(1, Steps).Select(step => (long)step), again.Order());
        Assert.InRange(first, 4, 8);
        var settings = new CompressionSettings { Kind = kind, WarmupSteps = (int)first - 1 };
        var begun = await StepsOf(run.Plan with
        {
            Checkpoints = null,
            Protection = ProtectionDuties.None,
            Reduction = run.Plan.Reduction with { Contributions = settings, Answers = settings with { Kind = CompressionKind.Int8 } },
        });
        Assert.Equal(begun.Select(TinyRun.LossBitsOf), run.Notices.Steps.Select(TinyRun.LossBitsOf));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_rank_that_replays_from_a_copy_goes_on_with_the_factors_of_a_kind_that_was_set_while_the_run_went_on(bool sharesOptimizer)
    {
        const int steps = 20;
        using OperatedCluster run = new(ProtectionKind.Memory, steps, nodeCount: 5, plan => Replicas() with
        {
            Steps = steps,
            SharesOptimizer = sharesOptimizer,
            Protection = new ProtectionDuties(ProtectionKind.Memory, 3, ""),
            Checkpoints = plan.Checkpoints,
        });
        await run.PauseAsync(3);
        foreach (var line in new[] { "set compression power-sgd --yes", "set compression-answer power-sgd --yes" }) await run.DoneAsync(line);
        var first = run.Notices.All.OfType<RunNotice.SettingChanged>().Select(notice => notice.Change.FromStep).Distinct().Single();
        _ = run.Cluster.AtStep(18, () => Task.FromResult(true), () => run.Cluster.Kill("c"));
        await run.DoneAsync("resume");
        Assert.Equal(new RunOutcome(RunEnd.Completed, steps), await run.Cluster.UntilAsync(run.Cluster.Ended));
        var lost = Assert.Single(run.Notices.All.OfType<RunNotice.Recovering>().First(notice => notice.Ranks.Count > 0).Ranks).Rank;
        // The copy has factors: it was taken after compression had begun.
        Assert.All(run.Cluster.Work.Keys.Where(work => work.Rank == lost && work.Node != "c"), work => Assert.InRange(work.Step, first + 2, steps));
        var settings = new CompressionSettings { Kind = CompressionKind.PowerSgd, WarmupSteps = (int)first - 1 };
        var begun = await StepsOf(run.Plan with
        {
            Checkpoints = null,
            Protection = ProtectionDuties.None,
            Reduction = run.Plan.Reduction with { Contributions = settings, Answers = settings },
        });
        Assert.Equal(begun.Select(TinyRun.LossBitsOf), run.Notices.Steps.Select(TinyRun.LossBitsOf));
    }

    [Theory]
    [InlineData("set protection memory --yes", "The run has one process")]
    [InlineData("set protection everywhere --yes", "Expected one of none, memory, disk")]
    [InlineData("set protection-every 2 --yes", "It would be ignored: no copies are taken")]
    [InlineData("set protection-every 0 --yes", "Expected a whole number of steps from 1")]
    [InlineData("set compression one-bit --yes", "one-bit needs second moments")]
    [InlineData("set compression zip --yes", "Expected one of none, bf16, int8, int4, top-k, power-sgd, one-bit")]
    public async Task What_cannot_be_changed_so_is_refused_with_the_way_out(string line, string sentence)
    {
        var run = await OperatedTinyRun.StartAsync(_folder, Replicas(), (step, self) => { if (step == 2) _ = self.RunAsync("pause"); });
        await run.ReachAsync("paused");
        var answer = await run.RunAsync(line);
        Assert.False(answer.IsDone);
        Assert.Contains(sentence, answer.Text, StringComparison.Ordinal);
        Assert.Equal(["bf16"], await run.Desk.CompleteAsync("set compression b", CancellationToken.None));
        Assert.Equal(["disk", "memory", "none"], await run.Desk.CompleteAsync("set protection ", CancellationToken.None));
        await run.RunAsync("stop --now --yes");
        await run.Ended;
    }

    [Fact]
    public void Where_a_run_rules_a_compression_out_a_change_is_ruled_out_alike()
    {
        Assert.Contains("one replica", Fault(SettingKind.GradientCompression, CompressionKind.Int8, replicas: 1), StringComparison.Ordinal);
        Assert.Contains("numerics.summation = invariant", Fault(SettingKind.GradientCompression, CompressionKind.Int8, isInvariant: true), StringComparison.Ordinal);
        Assert.Contains("compression.kind = auto", Fault(SettingKind.GradientCompression, CompressionKind.None, isTrying: true), StringComparison.Ordinal);
        Assert.Null(Fault(SettingKind.GradientCompression, CompressionKind.OneBit, isFrozen: true));
        Assert.Null(Fault(SettingKind.GradientCompression, CompressionKind.None, isInvariant: true));
        Assert.Contains("one node", Scope().FaultOf(ProtectionKind.Memory), StringComparison.Ordinal);
        Assert.Contains("protection.folder", (Scope() with { HolderCount = 3 }).FaultOf(ProtectionKind.Disk), StringComparison.Ordinal);
        Assert.Null((Scope() with { HolderCount = 3 }).FaultOf(ProtectionKind.Memory));
    }

    [Fact]
    public void Words_of_a_change_are_those_of_the_configuration_in_the_order_of_their_values()
    {
        Assert.Equal(ReductionKeys.Answer.Words, SettingChange.WordsOf(SettingKind.GradientCompression));
        Assert.Equal(ReductionKeys.Answer.Words, SettingChange.WordsOf(SettingKind.AnswerCompression));
        Assert.Equal(Enum.GetValues<ProtectionKind>().Select(kind => kind.ToString().ToLowerInvariant()), SettingChange.WordsOf(SettingKind.ProtectionKind));
        // The words stand at the places of the numbers that travel.
        Assert.Equal([0, 1, 2, 3, 4, 5, 6], new[] { CompressionKind.None, CompressionKind.BFloat16, CompressionKind.Int8, CompressionKind.Int4, CompressionKind.TopK, CompressionKind.PowerSgd, CompressionKind.OneBit }.Select(kind => (int)kind));
    }

    private static string? Fault(SettingKind direction, CompressionKind kind, int replicas = 2, bool isInvariant = false, bool isFrozen = false, bool isTrying = false) =>
        (Scope() with { ReplicaCount = replicas, IsTrying = isTrying, Compression = new CompressionScope(isInvariant, isFrozen) }).FaultOf(direction, kind);

    private static ChangeScope Scope() =>
        new(new RunProgress(new RunPlan { StartStep = 0, EndStep = 9 }, 2, 0, 0), IsSpread: true, ProtectionDuties.None, HolderCount: 1, ReplicaCount: 2, new CompressionScope(false, false), IsTrying: false);

    private static SettingChange Compressed(long step, string word) => new(step, SettingKind.GradientCompression, SettingChange.ValueOf(SettingKind.GradientCompression, word)!.Value);

    private static async Task<IReadOnlyList<StepSummary>> StepsOf(TrainingPlan plan)
    {
        NoticeList notices = new();
        Assert.Equal(new RunOutcome(RunEnd.Completed, plan.Steps), await PipelineRun.TrainAsync(plan, notices));
        return notices.Steps;
    }

    private static TrainingPlan Replicas() => TinyRun.Plan(2, 4, steps: Steps) with { ReplicaCount = 2, StepsAhead = 1, Reduction = new ReductionSettings { BucketLength = 4000 } };
}
