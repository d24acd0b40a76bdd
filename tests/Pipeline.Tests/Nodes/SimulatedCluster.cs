using System.Collections.Concurrent;
using Akka.Actor;
using Akka.Configuration;
using Akka.TestKit;
using Pipeline.Coordinator;
using Pipeline.Nodes;
using Pipeline.Protocol;
using Pipeline.Protocol.Frames;
using Pipeline.Protocol.Wire;
using Pipeline.Stages;
using Pipeline.Tests.Training;
using Pipeline.Training;

namespace Pipeline.Tests.Nodes;

/// <summary>
/// Several nodes and a coordinator in one actor system under a network that can be told to fail, on virtual time: the clock moves only when
/// nothing else does, so that no wait is real and none is too short.
/// </summary>
internal sealed class SimulatedCluster : IDisposable
{
    /// <summary>How much simulated time a run may take. Real time is no measure: other tests share the machine.</summary>
    private static readonly TimeSpan SimulatedPatience = TimeSpan.FromMinutes(30);

    /// <summary>Only for what hangs without the clock moving.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(5);
    private static readonly TimeSpan Stuck = TimeSpan.FromSeconds(20);
    private static readonly TimeSpan Tick = TimeSpan.FromMilliseconds(250);
    private static int s_count;
    private readonly ActorSystem _system;
    private readonly TrainingPlan _plan;
    private readonly Dictionary<string, NodeInfo> _nodes = new(StringComparer.Ordinal);
    private readonly List<IActorRef> _actors = [];
    private readonly TaskCompletionSource<RunOutcome> _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _busyStores;

    internal SimulatedCluster(int seed, TrainingPlan plan, int nodeCount, bool serializes = false, IReadOnlyList<long>? memory = null)
    {
        var name = $"sim{Interlocked.Increment(ref s_count)}";
        Network = new SimulatedNetwork(seed);
        Network.Attach(name);
        _plan = plan.Checkpoints is { } saving ? plan with { Checkpoints = saving with { Store = new WatchedStore(saving.Store, change => Interlocked.Add(ref _busyStores, change)) } } : plan;
        var quiet = ConfigurationFactory.ParseString("akka { loglevel = ERROR, stdout-loglevel = ERROR, log-dead-letters = off, scheduler.implementation = \"Akka.TestKit.TestScheduler, Akka.TestKit\" }");
        var config = NetworkMailbox.Hocon.WithFallback(quiet);
        _system = ActorSystem.Create(name, WireSetup.For(serializes ? config.WithFallback(WireSetup.SerializeEverything) : config));
        _actors.Add(_system.ActorOf(StrayTensors.Props()));
        for (var node = 0; node < nodeCount; node++) StartNode(((char)('a' + node)).ToString(), memory?[node] ?? 0);
    }

    internal SimulatedNetwork Network { get; }

    internal NoticeList Notices { get; } = new();

    /// <summary>Asked of each node and rank: how often each micro-batch of each step.</summary>
    internal ConcurrentDictionary<(string Node, int Rank, long Step, int MicroBatch), int> Work { get; } = new();

    /// <summary>Nodes that were told that they were given up.</summary>
    internal ConcurrentBag<string> Fenced { get; } = [];

    internal IActorRef Coordinator { get; private set; } = ActorRefs.Nobody;

    internal Task<RunOutcome> Ended => _ended.Task;

    /// <summary>The run, once a coordinator was started.</summary>
    internal RunId Run { get; private set; }

    internal NodeInfo Node(string name) => _nodes[name];

    internal IReadOnlyCollection<string> NodeNames => _nodes.Keys;

    internal NodeInfo StartNode(string name, long memory = 0)
    {
        var info = new NodeInfo(new NodeId(name, 1), $"akka://{_system.Name}/user/{name}", [NodeInfo.StageRole, NodeInfo.CoordinatorRole], "cpu", 1, memory, 1, name, "");
        _nodes.Add(name, info);
        _actors.Add(_system.ActorOf(StageHostActor.Props(info, new CountedWorkload(_plan, name, Work), _ => Fenced.Add(name), TimeSpan.FromMilliseconds(500)), name));
        return info;
    }

    /// <summary>Starts a coordinator on a node and tells it of all nodes.</summary>
    internal IActorRef StartCoordinator(string home, Func<CoordinatedRun, CoordinatedRun>? change = null, TaskCompletionSource<RunOutcome>? ended = null, IEnumerable<string>? alive = null, IRunObserver? observer = null)
    {
        var run = PipelineRun.Coordinated(_plan, RunLayout.For(_plan), null) with
        {
            Home = _nodes[home].Id,
            NodeCount = _nodes.Count,
            Recovery = new RecoverySettings
            {
                SuspectAfter = TimeSpan.FromSeconds(3),
                StallAfter = TimeSpan.FromSeconds(8),
                SaveStallAfter = TimeSpan.FromSeconds(40),
                RepeatLimit = 12,
                NodePatience = TimeSpan.FromSeconds(10),
            },
            StopPatience = TimeSpan.FromSeconds(10),
        };
        Run = run.Run;
        Coordinator = _system.ActorOf(CoordinatorActor.Props(change?.Invoke(run) ?? run, observer ?? Notices, ended ?? _ended), $"{home}-coordinator-{_actors.Count}");
        _actors.Add(Coordinator);
        foreach (var node in alive ?? _nodes.Keys) Coordinator.Tell(new NodeJoined(_nodes[node]));
        return Coordinator;
    }

    /// <summary>The coordinator's process is no more.</summary>
    internal async Task StopCoordinatorAsync()
    {
        _system.Stop(Coordinator);
        await Coordinator.WatchAsync(CancellationToken.None);
    }

    /// <summary>A node's process dies; its connections are reset, which the coordinator hears.</summary>
    internal void Kill(string node, bool isHeard = true)
    {
        Network.Kill(node);
        if (isHeard) Coordinator.Tell(new NodeSuspected(_nodes[node].Id, "The connection was reset."));
    }

    /// <summary>Kills a node with the first tensor of a step that it sends.</summary>
    internal void KillAt(string node, long step)
    {
        var isKilled = 0;
        Network.Seen = (from, _, message) =>
        {
            if (from == node && message is TensorFrame frame && frame.Key.Step.Step == step && Interlocked.Exchange(ref isKilled, 1) == 0) Kill(node);
        };
    }

    /// <summary>Does something later, on the simulation's clock.</summary>
    internal void After(TimeSpan delay, Action action) => _system.Scheduler.Advanced.ScheduleOnce(delay, action);

    /// <summary>Says something to an actor, past the network: what a peer might send that is none of the run's own.</summary>
    internal void Say(string path, object message) => ((ExtendedActorSystem)_system).Provider.ResolveActorRef(path).Tell(message, ActorRefs.NoSender);

    /// <summary>Does something once, when a rank first reports a step.</summary>
    internal Task<Task<T>> AtStep<T>(long step, Func<Task<T>> ask, Action? action = null)
    {
        TaskCompletionSource<Task<T>> asked = new(TaskCreationOptions.RunContinuationsAsynchronously);
        var isDone = 0;
        Network.Seen = (_, _, message) =>
        {
            if (message is not StageProtocol.StepCompleted completed || completed.Step != step || Interlocked.Exchange(ref isDone, 1) == 1) return;
            action?.Invoke();
            asked.SetResult(ask());
        };
        return asked.Task;
    }

    /// <summary>Moves the clock whenever nothing else moves, until the task ends.</summary>
    internal async Task<T> UntilAsync<T>(Task<T> ended)
    {
        await UntilAsync(() => ended.IsCompleted);
        return await ended;
    }

    /// <summary>Moves the clock whenever nothing else moves, until something is so.</summary>
    internal async Task UntilAsync(Func<bool> isSo)
    {
        var scheduler = (TestScheduler)_system.Scheduler;
        var deadline = Environment.TickCount64 + (long)Patience.TotalMilliseconds;
        var end = scheduler.Now + SimulatedPatience;
        var (idle, seen) = (0, -1L);
        var quietSince = Environment.TickCount64;
        while (!isSo())
        {
            if (scheduler.Now > end || Environment.TickCount64 > deadline) throw new TimeoutException($"The simulation did not end. Messages: {string.Join(", ", Network.Counts)}; busy: {Network.IsBusy}, pending: {ThreadPool.PendingWorkItemCount}, stores: {Volatile.Read(ref _busyStores)}, threads: {ComputeThreads.Awaited()}; notices: {string.Join(" | ", Notices.All.Where(notice => notice is not RunNotice.StepCommitted).TakeLast(12))}; steps: {Notices.Steps.Count}; nodes: {Network.Standing}");
            await Task.Delay(1);
            var activity = Network.Activity;
            var isQuiet = IsQuiet();
            // Twice, since one of them may hand over to another between the first look and the second.
            var isStill = isQuiet && PoolThreads.AreStill() && IsQuiet() && Network.Activity == activity;
            if (activity != seen || !ComputeThreads.AreAllWaiting()) quietSince = Environment.TickCount64;
            idle = isQuiet && activity == seen ? idle + 1 : 0;
            seen = activity;
            // Counts are exact (NetworkMailbox), but for a thread that the test runner borrows from the pool. If one were not, a test should rather go on than
            // hang. Long, since a busy machine may not run a thread for seconds.
            if (!isStill && idle < 4 && Environment.TickCount64 - quietSince < Stuck.TotalMilliseconds) continue;
            if (!isStill && idle < 4) Network.Forget();
            idle = 0;
            if (isSo()) return;
            if (!Network.Release()) scheduler.Advance(Tick);
        }
    }

    private bool IsQuiet() => !Network.IsBusy && ThreadPool.PendingWorkItemCount == 0 && Volatile.Read(ref _busyStores) == 0 && ComputeThreads.AreAllWaiting();

    public void Dispose()
    {
        SimulatedNetwork.Detach(_system.Name);
        // Everything that owns tensors frees them before the next test counts.
        _system.Terminate().Wait(Patience);
    }

    private sealed class CountedWorkload(TrainingPlan plan, string node, ConcurrentDictionary<(string, int, long, int), int> work) : IStageWorkloadFactory
    {
        public StageWorkload Create(StageProtocol.AssignStage assignment) => PipelineRun.WorkloadOf(plan).Create(assignment) with
        {
            Batches = new CountedBatches(plan.Batches, (step, index) => work.AddOrUpdate((node, assignment.Rank, step, index), 1, (_, count) => count + 1)),
        };
    }
}
