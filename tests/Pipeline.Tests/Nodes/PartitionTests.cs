using Akka.Actor;
using Pipeline.Coordinator;
using Pipeline.Model;
using Pipeline.Protocol;
using Pipeline.Tests.Training;
using Pipeline.Training;
using Xunit;

namespace Pipeline.Tests.Nodes;

/// <summary>
/// Rows F3, F4 and F22 of the fault matrix, simulated: networks that are cut in two, in one direction, again and again. Each step is committed once, by
/// one side; who was given up is shut out when the network heals. What membership would say of a cut, the test says.
/// </summary>
[Collection(PipelineCollection.Name)]
public sealed class PartitionTests
{
    private const int Steps = 8;

    /// <summary>When the cluster's failure detector has made up its mind.</summary>
    private static readonly TimeSpan Verdict = TimeSpan.FromSeconds(4);

    [Theory]
    [InlineData(true, true)]
    [InlineData(true, false)]
    [InlineData(false, true)]
    public async Task A_stage_that_is_cut_off_is_replaced_and_shut_out_after_healing(bool isDeaf, bool isMute)
    {
        using var cluster = new SimulatedCluster(1, Plan(3, 2, 2), 5);
        string[] others = ["a", "b", "d", "e"];
        var cut = cluster.AtStep(3, () => Task.FromResult(true), () =>
        {
            if (isDeaf) cluster.Network.Cut(others, ["c"]);
            if (isMute) cluster.Network.Cut(["c"], others);
            cluster.After(Verdict, () => cluster.Coordinator.Tell(new NodeSuspected(cluster.Node("c").Id, "it does not answer the cluster's heartbeats")));
        });
        cluster.StartCoordinator("a");
        await cluster.UntilAsync(() => cluster.Notices.All.OfType<RunNotice.Recovered>().Any());
        cluster.Network.Heal();
        await cluster.UntilAsync(() => !cluster.Fenced.IsEmpty || cluster.Ended.IsCompleted);
        Assert.Equal(new RunOutcome(RunEnd.Completed, Steps), await cluster.UntilAsync(cluster.Ended));
        AssertSteps(cluster, 2);
        Assert.True(await await cut);
        Assert.All(cluster.Fenced, node => Assert.Equal("c", node));
        Assert.All(cluster.Work.Where(work => work.Key.Node != "c"), work => Assert.Equal(1, work.Value));
    }

    [Fact]
    public Task Cuts_that_come_and_go_leave_the_bits_as_they_are() => NodeFaultTests.ForSeedsAsync(8, FlapAsync);

    [Fact]
    public Task A_coordinator_on_the_smaller_side_is_succeeded_and_commits_nothing_more() => NodeFaultTests.ForSeedsAsync(10, CutOffCoordinatorAsync);

    private static async Task FlapAsync(int seed)
    {
        var chance = new Random(seed);
        var microBatches = chance.Next(1, 4);
        using var cluster = new SimulatedCluster(seed, Plan(chance.Next(1, 4), microBatches, chance.Next(1, 3), seed), 6);
        var others = cluster.NodeNames.Where(node => node != "a").ToArray();
        // The run must find a node to go on with, so that few are cut off for longer than is borne.
        var (flapsLeft, longLeft, untilNext) = (8, 3, chance.Next(5, 40));
        cluster.Network.Seen = (_, _, _) =>
        {
            lock (chance)
            {
                if (flapsLeft == 0 || --untilNext > 0) return;
                (flapsLeft, untilNext) = (flapsLeft - 1, chance.Next(20, 120));
                var isLong = longLeft > 0 && chance.Next(2) == 0;
                if (isLong) longLeft--;
                Flap(cluster, others[chance.Next(others.Length)], chance.Next(3), TimeSpan.FromMilliseconds(isLong ? chance.Next(4500, 9000) : chance.Next(100, 2000)));
            }
        };
        cluster.StartCoordinator("a");
        Assert.Equal(new RunOutcome(RunEnd.Completed, Steps), await cluster.UntilAsync(cluster.Ended));
        AssertSteps(cluster, microBatches);
    }

    /// <summary>One node is deaf, mute or both for a while.</summary>
    private static void Flap(SimulatedCluster cluster, string node, int direction, TimeSpan duration)
    {
        var others = cluster.NodeNames.Where(other => other != node).ToArray();
        if (direction != 0) cluster.Network.Cut(others, [node]);
        if (direction != 1) cluster.Network.Cut([node], others);
        if (duration > Verdict) cluster.After(Verdict, () => cluster.Coordinator.Tell(new NodeSuspected(cluster.Node(node).Id, "it does not answer the cluster's heartbeats")));
        cluster.After(duration, cluster.Network.Heal);
    }

    private static async Task CutOffCoordinatorAsync(int seed)
    {
        var chance = new Random(seed);
        var microBatches = chance.Next(1, 4);
        var plan = Plan(chance.Next(2, 4), microBatches, chance.Next(1, 3), seed);
        using var cluster = new SimulatedCluster(seed, plan, 6);
        string[] smaller = chance.Next(2) == 0 ? ["a"] : ["a", chance.Next(2) == 0 ? "b" : "f"];
        var larger = cluster.NodeNames.Except(smaller).ToArray();
        ClaimedJournal journal = new();
        var reports = chance.Next(1, 2 * plan.StageCount + 2);
        var (untilTakeOver, untilHealed) = (TimeSpan.FromMilliseconds(chance.Next(0, 9000)), TimeSpan.FromMilliseconds(chance.Next(9000, 15_000)));
        TaskCompletionSource isTakenOver = new(TaskCreationOptions.RunContinuationsAsynchronously);
        cluster.Network.Seen = (_, _, message) =>
        {
            if (message is not StageProtocol.StepCompleted || Interlocked.Decrement(ref reports) != 0) return;
            cluster.Network.Cut(smaller, larger);
            cluster.Network.Cut(larger, smaller);
            cluster.After(untilTakeOver, () => isTakenOver.TrySetResult());
            cluster.After(untilHealed, cluster.Network.Heal);
        };
        var first = journal.Claim();
        cluster.StartCoordinator("a", run => run with { Journal = first }, observer: first.Fence(cluster.Notices));
        await cluster.UntilAsync(Task.WhenAny(cluster.Ended, isTakenOver.Task));
        var ended = cluster.Ended;
        // The smaller side may have ended the run before the larger one knew that it is the larger one: then there is nothing to lead.
        if (!cluster.Notices.All.OfType<RunNotice.Ended>().Any()) ended = TakeOver(cluster, journal, larger, smaller);
        Assert.Equal(new RunOutcome(RunEnd.Completed, Steps), await cluster.UntilAsync(ended));
        AssertSteps(cluster, microBatches);
    }

    private static Task<RunOutcome> TakeOver(SimulatedCluster cluster, ClaimedJournal journal, string[] larger, string[] smaller)
    {
        var second = journal.Claim();
        var recorded = cluster.Notices.Steps.Select(step => step.Step).DefaultIfEmpty(0).Max();
        var evaluated = cluster.Notices.All.OfType<RunNotice.Evaluated>().Select(notice => notice.AfterStep).DefaultIfEmpty(0).Max();
        var predecessor = second.Last is { } entry ? new Predecessor(entry, recorded, evaluated, 0) : null;
        TaskCompletionSource<RunOutcome> ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
        cluster.StartCoordinator(larger[0], run => run with { Journal = second, Predecessor = predecessor }, ended, larger, second.Fence(cluster.Notices));
        foreach (var node in smaller) cluster.Coordinator.Tell(new NodeLeft(cluster.Node(node).Id), ActorRefs.NoSender);
        return ended.Task;
    }

    private static void AssertSteps(SimulatedCluster cluster, int microBatches) =>
        TinyRun.AssertEqual(TinyRun.Reference(microBatches, true, Precision.Fp32, Steps), cluster.Notices.Steps, allowsMissingDigests: true);

    private static TrainingPlan Plan(int stageCount, int microBatches, int every, int seed = 0) => TinyRun.Plan(stageCount, microBatches, steps: Steps) with
    {
        StepsAhead = 2,
        EvaluateEvery = 2,
        EvaluationMicroBatchCount = 2,
        Schedule = seed % 3 == 2 ? "zb-v" : "1f1b",
        Protection = new ProtectionDuties(ProtectionKind.Memory, every, ""),
    };
}

/// <summary>A journal that one coordinator holds at a time: whoever has claimed it last. What a former holder notices after that is not heard.</summary>
internal sealed class ClaimedJournal
{
    private readonly Lock _gate = new();
    private readonly JournalInMemory _entries = new();
    private View? _holder;

    /// <summary>Takes it over.</summary>
    internal View Claim()
    {
        lock (_gate) return _holder = new View(this);
    }

    /// <summary>The journal as one coordinator has it.</summary>
    internal sealed class View(ClaimedJournal journal) : IRunJournal
    {
        internal JournalEntry? Last => journal._entries.Last;

        public bool IsSuperseded
        {
            get
            {
                lock (journal._gate) return journal._holder != this;
            }
        }

        public void Record(JournalEntry entry)
        {
            lock (journal._gate)
            {
                if (journal._holder != this) throw new JournalException("Another coordinator leads the run.");
                journal._entries.Record(entry);
            }
        }

        /// <summary>What this coordinator tells, for as long as it holds the journal: its successor has put other files in the places of those that it writes.</summary>
        internal IRunObserver Fence(IRunObserver observer) => new Fenced(this, journal._gate, observer);
    }

    private sealed class Fenced(View view, Lock gate, IRunObserver observer) : IRunObserver
    {
        public void OnNotice(RunNotice notice)
        {
            lock (gate)
            {
                if (!view.IsSuperseded) observer.OnNotice(notice);
            }
        }
    }
}
