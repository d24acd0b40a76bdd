using Akka.Actor;
using Pipeline.Checkpoints;
using Pipeline.Coordinator;
using Pipeline.Model;
using Pipeline.Operator;
using Pipeline.Protocol;
using Pipeline.Runs;
using Pipeline.Tests.Nodes;
using Pipeline.Tests.Training;
using Pipeline.Training;
using Xunit;

namespace Pipeline.Tests.Operator;

/// <summary>
/// A simulated cluster of nodes, a, b, c and so on, that trains the tiny model on three ranks under an operator's commands, and what must come of it whatever is
/// commanded. Owns the cluster and a folder.
/// </summary>
internal sealed class OperatedCluster : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("pipeline-operated-").FullName;

    /// <param name="protection">Where copies of the ranks' states go, after every fourth step.</param>
    /// <param name="steps">Steps of the run.</param>
    /// <param name="nodeCount">Nodes; the first leads.</param>
    /// <param name="change">Makes another plan of it; null for none.</param>
    internal OperatedCluster(ProtectionKind protection, long steps, int nodeCount = 5, Func<TrainingPlan, TrainingPlan>? change = null)
    {
        Files = new RunFiles(In("run"));
        var plan = TinyRun.Plan(3, 2, steps: steps) with
        {
            StepsAhead = 2,
            EvaluateEvery = 2,
            EvaluationMicroBatchCount = 2,
            Protection = new ProtectionDuties(protection, 4, In("copies")),
            Checkpoints = new CheckpointPlan(new FolderCheckpointStore(Files.Checkpoints), RunTests.Describe),
        };
        Plan = change?.Invoke(plan) ?? plan;
        Cluster = new SimulatedCluster(1, Plan, nodeCount);
    }

    internal SimulatedCluster Cluster { get; }

    internal TrainingPlan Plan { get; }

    /// <summary>Where its checkpoints lie.</summary>
    internal RunFiles Files { get; }

    internal NoticeList Notices => Cluster.Notices;

    /// <summary>Where commands arrive. Its watch sees nothing of the run.</summary>
    internal CommandDesk Desk => new(new OperatedRun(Files, Cluster.Coordinator, _ => Task.FromResult(Nodes), () => { }), new RunWatch(TimeProvider.System));

    /// <summary>The nodes by their names.</summary>
    internal IReadOnlyList<OperatedNode> Nodes => [.. Cluster.NodeNames.Select(name => new OperatedNode(Cluster.Node(name).Id, new NodeLine(name, 1, ["stage"], name, name, name == "a")))];

    /// <summary>A path in the folder.</summary>
    internal string In(string name) => Path.Combine(_folder, name);

    /// <summary>Begins the run and pauses it after a step.</summary>
    /// <returns>How it stands then.</returns>
    internal async Task<RunStatus> PauseAsync(long step, Func<CoordinatedRun, CoordinatedRun>? change = null, IRunObserver? observer = null)
    {
        var paused = Cluster.AtStep(step, () => AskAsync("pause"));
        Cluster.StartCoordinator("a", change, observer: observer);
        Assert.True((await Cluster.UntilAsync(await Cluster.UntilAsync(paused))).IsDone);
        return await ReachPauseAsync();
    }

    /// <summary>Waits for a pause that was asked for.</summary>
    internal async Task<RunStatus> ReachPauseAsync()
    {
        while (true)
        {
            var status = await Cluster.UntilAsync(Cluster.Coordinator.Ask<RunStatus>(QueryStatus.Instance));
            if (status.Phase == "paused") return status;
        }
    }

    /// <summary>Sends a command; whoever waits for the answer lets time pass.</summary>
    internal Task<CommandAnswer> AskAsync(string line) => Desk.RunAsync(new CommandCall(line, "tester"), CancellationToken.None);

    /// <summary>Sends a command and lets time pass until it is answered.</summary>
    internal Task<CommandAnswer> RunAsync(string line) => Cluster.UntilAsync(AskAsync(line));

    /// <summary>Has a command carried out.</summary>
    internal async Task DoneAsync(string line)
    {
        var answer = await RunAsync(line);
        Assert.True(answer.IsDone, $"{line}: {answer.Text}");
    }

    /// <summary>Lets the run come to its end, which must be that of the reference, to the bit, with every evaluation in its place.</summary>
    internal async Task AssertCompletedAsync()
    {
        Assert.Equal(new RunOutcome(RunEnd.Completed, Plan.Steps), await Cluster.UntilAsync(Cluster.Ended));
        TinyRun.AssertEqual(TinyRun.Reference(2, true, Precision.Fp32, Plan.Steps), Notices.Steps, allowsMissingDigests: true);
        Assert.Equal(Enumerable.Range(1, (int)Plan.Steps / 2).Select(index => 2L * index), Notices.All.OfType<RunNotice.Evaluated>().Select(evaluated => evaluated.AfterStep));
    }

    public void Dispose()
    {
        Cluster.Dispose();
        Directory.Delete(_folder, recursive: true);
    }
}
