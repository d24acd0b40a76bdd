using Pipeline.Checkpoints;
using Pipeline.Coordinator;
using Pipeline.Model.Training;
using Pipeline.Protocol;
using Pipeline.Protocol.Frames;
using Pipeline.Reduction;
using Pipeline.Reduction.Compression;
using Pipeline.Reduction.Topologies;
using Pipeline.Tests.Training;
using Pipeline.Training;
using Xunit;
using static Pipeline.Protocol.CopyProtocol;
using static Pipeline.Protocol.NeighbourProtocol;
using static Pipeline.Protocol.NodeProtocol;
using static Pipeline.Protocol.StageProtocol;

namespace Pipeline.Tests.Nodes;

/// <summary>
/// A rank of one of two replicas dies at each point of a step that replicas have beside a pipeline's (<see cref="KillPointTests"/>), and at each point of the recovery the rank of the other
/// replica that holds the same units dies too. A point is named by the message that passes then, and a run in which it does not pass fails.
/// </summary>
[Collection(PipelineCollection.Name)]
public sealed class ReplicaKillPointTests : IDisposable
{
    private const int Steps = 6;
    private const int Step = 4;
    // Rank 1 is the last stage of the first replica, rank 3 that of the other one.
    private const int Victim = 1;
    private const int Other = 3;
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(5);

    private static readonly (string Name, Func<int?, int?, object, bool> IsReached)[] s_points =
    [
        ("forward", (_, to, message) => to == Victim && IsFrame(message, FrameKind.Activation)),
        ("backward", (from, _, message) => from == Victim && IsFrame(message, FrameKind.Gradient)),
        ("contributing", (from, _, message) => from == Victim && IsFrame(message, FrameKind.GradientContribution)),
        ("contributed", (_, to, message) => to == Victim && IsFrame(message, FrameKind.GradientContribution)),
        ("answering", (from, _, message) => from == Victim && IsFrame(message, FrameKind.ReducedGradient)),
        ("answered", (_, to, message) => to == Victim && IsFrame(message, FrameKind.ReducedGradient)),
        ("tied", (from, _, message) => from == Victim && IsFrame(message, FrameKind.TiedGradientToOwner)),
        ("squares", (from, _, message) => from == Victim && message is SquaredNorms { Step.Step: Step }),
        ("totals", (_, to, message) => to == Victim && message is StepTotals { Step.Step: Step }),
        ("updating", (from, _, message) => from == Victim && IsFrame(message, FrameKind.UpdatedWeights)),
        ("updated", (_, to, message) => to == Victim && IsFrame(message, FrameKind.UpdatedWeights)),
        ("reported", (from, _, message) => from == Victim && message is StepCompleted { Step: Step }),
        ("copying", (from, _, message) => from == Victim && message is CopyChunk { Copy.Step: Step }),
        ("copied", (from, _, message) => from == Victim && message is CopyStored { Step: Step }),
        ("saving", (_, to, message) => to == Victim && message is SaveCheckpoint { Step: Step }),
        ("evaluating", (_, to, message) => to == Victim && IsFrame(message, FrameKind.EvaluationActivation)),
    ];

    // Of the recovery from the loss of rank 1 while it contributes: then rank 3 is lost as well.
    private static readonly (string Name, Func<int?, int?, object, bool> IsReached)[] s_recoveryPoints =
    [
        ("placing", (_, to, message) => to == Victim && message is HostStage),
        ("loaded", (from, _, message) => from == Victim && message is StageReady),
        ("regenerating", (_, to, message) => to == Other && message is Regenerate),
        ("contributing again", (from, to, message) => from == Other && to == Victim && IsFrame(message, FrameKind.GradientContribution)),
    ];

    private readonly string _folder = Directory.CreateTempSubdirectory("pipeline-replica-points-").FullName;

    public static TheoryData<string, string> Cases()
    {
        TheoryData<string, string> cases = [];
        foreach (var point in s_points.Concat(s_recoveryPoints).Select(point => point.Name))
        {
            foreach (var way in new[] { "fast", "invariant, shared out", "compressed, shared out" }.Where(way => Passes(point, way))) cases.Add(point, way);
        }

        return cases;
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [MemberData(nameof(Cases))]
    public async Task A_replica_that_loses_a_rank_at_any_point_of_a_step_leaves_no_sample_out_and_the_bits_stay(string point, string way)
    {
        var store = new FolderCheckpointStore(Path.Combine(_folder, "checkpoints"));
        using ManualResetEventSlim isCopied = new();
        var plan = Plan(way, store);
        var expected = plan.Reduction.IsLossy ? await UninterruptedAsync(plan) : null;
        using var cluster = new SimulatedCluster(1, plan with { Batches = new CountedBatches(plan.Batches, (step, _) => { if (step == Step) isCopied.Wait(Patience); }) }, 8);
        Killing killing = new(cluster, point);
        cluster.Network.Seen = (from, to, message) =>
        {
            killing.See(from, to, message);
            if (message is CopyStored { Rank: Victim } || killing.HasStruck) isCopied.Set();
        };
        try
        {
            cluster.StartCoordinator("a");
            Assert.Equal(new RunOutcome(RunEnd.Completed, Steps), await cluster.UntilAsync(cluster.Ended));
        }
        finally
        {
            isCopied.Set();
        }

        Assert.True(killing.HasStruck, $"The run ended before anything was at '{point}'.");
        if (expected is null) NodeFaultTests.AssertRun(plan, store, cluster, isOneCoordinator: true);
        else Assert.Equal(expected, cluster.Notices.Steps.Select(TinyRun.LossBitsOf));
        // Every sample of every step was computed, and by one replica alone.
        var ranksOf = cluster.Work.Keys.ToLookup(work => (work.Step, work.MicroBatch), work => work.Rank / 2);
        Assert.Equal(Steps * plan.Batches.MicroBatchCount, ranksOf.Count);
        Assert.All(ranksOf, ranks => Assert.Single(ranks.Distinct()));
    }

    private TrainingPlan Plan(string way, FolderCheckpointStore store)
    {
        var compression = new CompressionSettings { Kind = way.StartsWith("compressed", StringComparison.Ordinal) ? CompressionKind.Int4 : CompressionKind.None };
        return TinyRun.Plan(2, 4, steps: Steps) with
        {
            ReplicaCount = 2,
            Summation = way.StartsWith("invariant", StringComparison.Ordinal) ? Summation.Invariant : Summation.Fast,
            SharesOptimizer = way != "fast",
            Reduction = new ReductionSettings { BucketLength = 4000, Topology = ReductionTopology.Sharded, Contributions = compression, Answers = compression },
            StepsAhead = 2,
            EvaluateEvery = 2,
            EvaluationMicroBatchCount = 2,
            Protection = new ProtectionDuties(ProtectionKind.Memory, 1, ""),
            Checkpoints = new CheckpointPlan(store, RunTests.Describe) { SaveEvery = 2 },
        };
    }

    private static async Task<IReadOnlyList<(long, long, long)>> UninterruptedAsync(TrainingPlan plan)
    {
        NoticeList notices = new();
        Assert.Equal(new RunOutcome(RunEnd.Completed, Steps), await PipelineRun.TrainAsync(plan with { Checkpoints = null, Protection = ProtectionDuties.None }, notices));
        return [.. notices.Steps.Select(TinyRun.LossBitsOf)];
    }

    /// <summary>Where replicas update shares of the weights these go back, and no sums.</summary>
    private static bool Passes(string point, string way) => point switch
    {
        "answering" or "answered" => way == "fast",
        "updating" or "updated" => way != "fast",
        _ => true,
    };

    private static bool IsFrame(object message, FrameKind kind) => message is TensorFrame frame && frame.Key.Kind == kind && frame.Key.Step.Step == Step;

    /// <summary>Knows where ranks lie by what nodes are told to host.</summary>
    private sealed class Killing(SimulatedCluster cluster, string point)
    {
        private readonly Lock _gate = new();
        private readonly Dictionary<string, int> _rankOf = new(StringComparer.Ordinal);
        private readonly Func<int?, int?, object, bool> _isFirst = s_points.SingleOrDefault(one => one.Name == point).IsReached ?? s_points.Single(one => one.Name == "contributing").IsReached;
        private readonly Func<int?, int?, object, bool>? _isSecond = s_recoveryPoints.SingleOrDefault(one => one.Name == point).IsReached;
        private bool _isFirstDead;
        private bool _hasStruck;

        internal bool HasStruck
        {
            get
            {
                lock (_gate) return _hasStruck;
            }
        }

        internal void See(string from, string to, object message)
        {
            string? dies = null;
            lock (_gate)
            {
                if (message is HostStage host) _rankOf[to] = host.Assignment.Rank;
                if (_hasStruck) return;
                var (sender, receiver) = (RankOf(from), RankOf(to));
                if (!_isFirstDead && _isFirst(sender, receiver, message))
                {
                    (_isFirstDead, _hasStruck) = (true, _isSecond is null);
                    dies = NodeOf(Victim);
                    // Whatever comes of it later comes of another node.
                    _rankOf.Remove(dies);
                }
                else if (_isFirstDead && _isSecond!(sender, receiver, message))
                {
                    _hasStruck = true;
                    dies = NodeOf(Other);
                }
            }

            if (dies is not null) cluster.Kill(dies);
        }

        private int? RankOf(string node) => _rankOf.TryGetValue(node, out var rank) ? rank : null;

        private string NodeOf(int rank) => _rankOf.Single(pair => pair.Value == rank).Key;
    }
}
