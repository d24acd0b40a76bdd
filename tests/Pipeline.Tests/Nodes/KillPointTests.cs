using Akka.Actor;
using Pipeline.Checkpoints;
using Pipeline.Coordinator;
using Pipeline.Protocol;
using Pipeline.Protocol.Frames;
using Pipeline.Tests.Training;
using Pipeline.Training;
using Xunit;
using static Pipeline.Protocol.CopyProtocol;
using static Pipeline.Protocol.NodeProtocol;
using static Pipeline.Protocol.StageProtocol;

namespace Pipeline.Tests.Nodes;

/// <summary>
/// The node of a stage, that of the leader, or both at once die at each point of a run. A point is named by the message that passes then, and a run in which it does not pass
/// fails: what chance brings about (<see cref="NodeFaultTests"/>) may never come to some of them.
/// </summary>
[Collection(PipelineCollection.Name)]
public sealed class KillPointTests : IDisposable
{
    private const int Steps = 6;
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(5);

    // Rank 1 lies on the node c, its copies on b; its like begins anew on a spare.
    private static readonly (string Name, Func<string, string, object, bool> IsReached)[] s_points =
    [
        ("forward", (from, _, message) => from == "c" && message is TensorFrame { Key: { Kind: FrameKind.Activation, Step.Step: 4 } }),
        ("backward", (from, _, message) => from == "c" && message is TensorFrame { Key: { Kind: FrameKind.Gradient, Step.Step: 4 } }),
        ("optimizer", (_, to, message) => to == "c" && message is NeighbourProtocol.StepTotals { Step.Step: 4 }),
        ("saving", (_, to, message) => to == "c" && message is SaveCheckpoint { Step: 4 }),
        ("saved", (from, _, message) => from == "c" && message is CheckpointPartWritten { Step: 4 }),
        ("copying", (from, _, message) => from == "c" && message is CopyChunk { Copy.Step: 4 }),
        ("copied", (from, _, message) => from == "c" && message is CopyStored { Step: 4 }),
        ("evaluating", (from, _, message) => from == "c" && message is TensorFrame { Key: { Kind: FrameKind.EvaluationActivation, Step.Step: 4 } }),
    ];

    // Of the recovery from the loss of c: whoever takes its place, or hears of it, is next.
    private static readonly (string Name, Func<string, string, object, bool> IsReached)[] s_recoveryPoints =
    [
        ("placing", (_, to, message) => to != "c" && message is HostStage { Assignment.Rank: 1 }),
        ("assigned", (from, _, message) => from != "c" && message is StageAssigned { Rank: 1 }),
        ("fetching", (from, _, message) => from != "c" && message is FetchCopy { Copy.Rank: 1 }),
        ("loaded", (from, _, message) => from != "c" && message is StageReady { Rank: 1 }),
        ("regenerating", (_, to, message) => to == "d" && message is Regenerate),
        ("replaying", (from, to, message) => from is not ("c" or "d") && to == "b" && message is TensorFrame { Key: { Kind: FrameKind.Gradient, Step.Step: 4 } }),
    ];

    private readonly string _folder = Directory.CreateTempSubdirectory("pipeline-points-").FullName;

    public static TheoryData<string, string> Cases()
    {
        TheoryData<string, string> cases = [];
        foreach (var point in s_points.Concat(s_recoveryPoints).Select(point => point.Name).Prepend("idle"))
        {
            foreach (var victims in new[] { "stage", "leader", "both" }) cases.Add(point, victims);
        }

        return cases;
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [MemberData(nameof(Cases))]
    public async Task Whoever_dies_at_any_point_of_a_run_is_replaced_and_the_bits_stay(string point, string victims)
    {
        var store = new FolderCheckpointStore(_folder);
        using ManualResetEventSlim isCopied = new();
        var plan = Plan(store, isCopied);
        JournalInMemory journal = new();
        using var cluster = new SimulatedCluster(1, plan, 7);
        Killing killing = new(cluster, victims);
        var watch = WatchFor(point, killing);
        cluster.Network.Seen = (from, to, message) =>
        {
            watch(from, to, message);
            if (message is CopyStored { Rank: 1 } || killing.HasStruck) isCopied.Set();
        };
        try
        {
            cluster.StartCoordinator("a", run => run with { Journal = journal });
            if (point == "idle") await StandsAsync(cluster, killing);
            await cluster.UntilAsync(() => killing.HasStruck || cluster.Ended.IsCompleted);
            Assert.True(killing.HasStruck, $"The run ended before anything was at '{point}'.");
            var outcome = killing.IsLeaderless ? await NodeFaultTests.TakeOverAsync(cluster, journal, store, killing.Dead) : await cluster.UntilAsync(cluster.Ended);
            Assert.Equal(new RunOutcome(RunEnd.Completed, Steps), outcome);
        }
        finally
        {
            isCopied.Set();
        }

        NodeFaultTests.AssertRun(plan, store, cluster, isOneCoordinator: !killing.IsLeaderless);
    }

    /// <summary>The step at which most die does not begin before there is a copy of rank 1 to begin anew from.</summary>
    private static TrainingPlan Plan(FolderCheckpointStore store, ManualResetEventSlim isCopied)
    {
        var plan = TinyRun.Plan(3, 2, steps: Steps);
        return plan with
        {
            Batches = new CountedBatches(plan.Batches, (step, _) => { if (step == 4) isCopied.Wait(Patience); }),
            StepsAhead = 2,
            EvaluateEvery = 2,
            EvaluationMicroBatchCount = 2,
            Protection = new ProtectionDuties(ProtectionKind.Memory, 1, ""),
            Checkpoints = new CheckpointPlan(store, RunTests.Describe) { SaveEvery = 2 },
        };
    }

    private static Action<string, string, object> WatchFor(string point, Killing killing) => s_points.Where(one => one.Name == point).Select(one => one.IsReached).FirstOrDefault() is { } isReached
        ? (from, to, message) => killing.Strike("c", isReached(from, to, message))
        : point == "idle"
            ? (_, _, message) => killing.Pause(message is StepCompleted { Step: 3 })
            : killing.DuringRecovery(s_recoveryPoints.Single(one => one.Name == point).IsReached);

    /// <summary>The run is paused and stands: nothing is under way when somebody dies, and it goes on afterwards.</summary>
    private static async Task StandsAsync(SimulatedCluster cluster, Killing killing)
    {
        await cluster.UntilAsync(() => cluster.Notices.All.OfType<RunNotice.Paused>().Any());
        var step = cluster.Notices.All.OfType<RunNotice.Paused>().Single().Step;
        await cluster.UntilAsync(() => cluster.Notices.Steps.Count == step);
        killing.Strike("c", isReached: true);
        if (!killing.IsLeaderless) cluster.Coordinator.Tell(new ResumeRun());
    }

    private sealed class Killing(SimulatedCluster cluster, string victims)
    {
        private int _isPaused;
        private int _isFirst;
        private int _hasStruck;

        internal bool HasStruck => Volatile.Read(ref _hasStruck) == 1;

        internal bool IsLeaderless => victims != "stage";

        /// <summary>The leader's first; where it lives on, nobody is asked.</summary>
        internal List<string> Dead { get; } = ["a"];

        internal void Pause(bool isReached)
        {
            if (isReached && Interlocked.Exchange(ref _isPaused, 1) == 0) cluster.Coordinator.Tell(new PauseRun());
        }

        internal void Strike(string node, bool isReached)
        {
            if (!isReached || Interlocked.Exchange(ref _hasStruck, 1) == 1) return;
            if (victims != "leader")
            {
                Dead.Add(node);
                cluster.Kill(node, isHeard: victims == "stage");
            }

            if (IsLeaderless) cluster.Kill("a", isHeard: false);
        }

        /// <summary>Rank 1 is lost at its first activation of step 4; then whoever the message of the point comes from, or goes to, beside the leader.</summary>
        internal Action<string, string, object> DuringRecovery(Func<string, string, object, bool> isReached) => (from, to, message) =>
        {
            if (to == "c" && message is TensorFrame { Key: { Kind: FrameKind.Activation, Step.Step: 4 } } && Interlocked.Exchange(ref _isFirst, 1) == 0)
            {
                Dead.Add("c");
                cluster.Kill("c");
            }

            if (Volatile.Read(ref _isFirst) == 1) Strike(from == "a" ? to : from, isReached(from, to, message));
        };
    }
}
