using Akka.Actor;
using Akka.Cluster;
using Akka.Event;
using Pipeline.Coordinator;
using Pipeline.Protocol;
using Pipeline.Runs;
using Pipeline.Training;
using static Pipeline.Protocol.HostingProtocol;
using static Pipeline.Protocol.MembershipProtocol;
using static Pipeline.Protocol.OperatorProtocol;

namespace Pipeline.Nodes;

/// <summary>
/// Leads the cluster's run: one of the coordinators, chosen by the cluster, has it. It learns who is there, takes an operator's requests,
/// opens the submitted run, places its ranks and hands over to the run's coordinator.
/// </summary>
public sealed class RunHostActor : ReceiveActor, IWithTimers
{
    /// <summary>How long after the first node a run waits for the others.</summary>
    private static readonly TimeSpan NodePatience = TimeSpan.FromSeconds(60);

    private readonly IRunSource _source;
    private readonly Action<string> _announce;
    private readonly Cluster _cluster = Cluster.Get(Context.System);
    private readonly ILoggingAdapter _log = Context.GetLogger();
    private readonly Dictionary<Address, NodeDescribed> _nodes = [];
    private readonly Dictionary<int, string> _places = [];
    private readonly Dictionary<int, IActorRef> _stages = [];
    private RunSubmission? _submission;
    private ILedRun? _run;
    private IActorRef _coordinator = ActorRefs.Nobody;
    private string _phase = "idle";
    private long _step;

    /// <summary>Called by the actor system; see <see cref="Props"/>.</summary>
    public RunHostActor(IRunSource source, Action<string> announce)
    {
        (_source, _announce) = (source, announce);
        Receive<ClusterEvent.MemberUp>(up => Describe(up.Member));
        Receive<ClusterEvent.IMemberEvent>(changed => { if (changed.Member.Status == MemberStatus.Removed) _nodes.Remove(changed.Member.Address); });
        Receive<ClusterEvent.CurrentClusterState>(state => { foreach (var member in state.Members.Where(member => member.Status == MemberStatus.Up)) Describe(member); });
        Receive<NodeDescribed>(OnDescribed);
        Receive<SubmitRun>(OnSubmit);
        Receive<EndRun>(_ => OnEnd());
        Receive<RebalanceRun>(_ => Sender.Tell(new Answer(false, "This run cannot be rebalanced yet.")));
        Receive<ReportDead>(OnReportedDead);
        Receive<AskStatus>(_ => Sender.Tell(Status()));
        Receive<Opened>(OnOpened);
        Receive<OpeningFailed>(OnOpeningFailed);
        Receive<PatienceTick>(_ => Place(isPatienceOver: true));
        Receive<StageHosted>(OnHosted);
        Receive<Noticed>(OnNoticed);
        Receive<Ended>(ended => OnEnded(ended.Outcome));
    }

    /// <inheritdoc/>
    public ITimerScheduler Timers { get; set; } = null!;

    /// <summary>How to make one.</summary>
    /// <param name="source">Opens what is submitted.</param>
    /// <param name="announce">Told the run directory once it is led from here.</param>
    public static Props Props(IRunSource source, Action<string> announce) => Akka.Actor.Props.Create(() => new RunHostActor(source, announce));

    /// <inheritdoc/>
    protected override void PreStart() => _cluster.Subscribe(Self, ClusterEvent.SubscriptionInitialStateMode.InitialStateAsSnapshot, typeof(ClusterEvent.IMemberEvent));

    /// <inheritdoc/>
    protected override void PostStop()
    {
        _cluster.Unsubscribe(Self);
        _run?.Dispose();
    }

    private void Describe(Member member) => Context.ActorSelection(new RootActorPath(member.Address) / "user" / NodeActor.Name).Tell(new DescribeNode());

    private void OnDescribed(NodeDescribed node)
    {
        _nodes[Address.Parse(node.Address)] = node;
        Place(isPatienceOver: false);
    }

    private void OnSubmit(SubmitRun submit)
    {
        if (_submission is { } current)
        {
            Sender.Tell(current.Directory == submit.Directory
                ? new Answer(true, "The run is led here already.")
                : new Answer(false, $"The cluster is busy with the run in {current.Directory}. Wait for its end or stop it with `pipeline ctl stop`."));
            return;
        }

        var submission = new RunSubmission(submit.Configuration, submit.Directory, submit.ResumeFrom, submit.NodeCount, submit.Start, submit.IsLocked);
        (_submission, _phase) = (submission, "opening");
        Sender.Tell(new Answer(true, "The run is accepted."));
        _announce(submission.Directory);
        _ = Task.Run(() => _source.Open(submission)).PipeTo(Self, success: run => new Opened(run), failure: fault => new OpeningFailed(fault));
    }

    private void OnOpened(Opened opened)
    {
        (_run, _phase) = (opened.Run, "waiting");
        Timers.StartSingleTimer("nodes", new PatienceTick(), NodePatience);
        Place(isPatienceOver: false);
    }

    private void OnOpeningFailed(OpeningFailed failed)
    {
        if (_submission is { } submission) WriteEnd(submission, new RunOutcome(RunEnd.Failed, submission.ResumeFrom, failed.Fault.Message) { IsPreparationFailure = true });
        _log.Error(failed.Fault, "The run in {0} cannot be opened.", _submission?.Directory);
        (_submission, _phase) = (null, "idle");
    }

    /// <summary>Ranks go to the other nodes first, one each, then to all in turn.</summary>
    private void Place(bool isPatienceOver)
    {
        if (_run is not { } run || _submission is not { } submission || _phase != "waiting") return;
        var hosts = _nodes.Values.Where(node => node.Roles.Contains("stage"))
            .OrderBy(node => Address.Parse(node.Address) == _cluster.SelfAddress).ThenBy(node => node.Name, StringComparer.Ordinal).ToArray();
        if (hosts.Length == 0 || (!isPatienceOver && _nodes.Count < submission.NodeCount)) return;
        _phase = "placing";
        for (var rank = 0; rank < run.Layout.RankCount; rank++)
        {
            var host = hosts[rank % hosts.Length];
            _places[rank] = host.Name;
            Context.ActorSelection(host.Address + "/user/" + NodeActor.Name).Tell(new HostStage(RunIdOf(submission), rank));
        }
    }

    private void OnHosted(StageHosted hosted)
    {
        if (_run is not { } run || _submission is not { } submission) return;
        _stages[hosted.Rank] = ((ExtendedActorSystem)Context.System).Provider.ResolveActorRef(hosted.Path);
        if (_stages.Count < run.Layout.RankCount || _phase != "placing") return;
        _phase = "running";
        TaskCompletionSource<RunOutcome> ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
        var stages = _stages.ToDictionary();
        var coordinated = PipelineRun.Coordinated(run.Plan, run.Layout, (_, rank) => stages[rank]) with { Run = RunIdOf(submission), Configuration = submission.Configuration };
        _coordinator = Context.ActorOf(CoordinatorActor.Props(coordinated, new ObserverChain(run.Recorder, new NoticeForwarder(Self)), ended), "coordinator");
        _ = ended.Task.PipeTo(Self, success: outcome => new Ended(outcome), failure: fault => new Ended(new RunOutcome(RunEnd.Failed, 0, fault.Message)));
    }

    private void OnNoticed(Noticed noticed)
    {
        if (noticed.Notice is RunNotice.StepCommitted { Step.Step: var step }) _step = step;
    }

    private void OnEnd()
    {
        if (_coordinator.IsNobody())
        {
            Sender.Tell(new Answer(false, "There is no run to stop."));
            return;
        }

        _phase = "stopping";
        _coordinator.Tell(StopRun.Instance);
        Sender.Tell(new Answer(true, $"The run stops after step {_step + 1} or a little later, saving first."));
    }

    private void OnEnded(RunOutcome outcome)
    {
        _phase = "ended";
        _run?.Dispose();
        foreach (var node in _nodes.Values) Context.ActorSelection(node.Address + "/user/" + NodeActor.Name).Tell(new ReleaseRun(RunIdOf(_submission!)));
        _log.Info("The run ended: {0} at step {1}.", outcome.End, outcome.Step);
        (_run, _submission, _coordinator) = (null, null, ActorRefs.Nobody);
        _stages.Clear();
    }

    private void OnReportedDead(ReportDead dead)
    {
        if (_nodes.Values.FirstOrDefault(node => node.Name == dead.Name && node.ProcessId == dead.ProcessId) is { } node) _cluster.Down(Address.Parse(node.Address));
        Sender.Tell(new Answer(true, "Noted."));
    }

    private ClusterStatus Status() => new(
        [.. _nodes.Values.OrderBy(node => node.Name, StringComparer.Ordinal).Select(node =>
            new NodeLine(node.Name, node.ProcessId, node.Roles, node.Address, node.Host, Address.Parse(node.Address) == _cluster.SelfAddress))],
        [.. _places.OrderBy(place => place.Key).Select(place => new StageLine(place.Key, place.Value))],
        _coordinator.IsNobody() ? 0 : 1,
        _step,
        _phase,
        _submission?.Directory ?? "");

    private static void WriteEnd(RunSubmission submission, RunOutcome outcome)
    {
        using var events = EventLog.Open(new RunFiles(submission.Directory).Events, TimeProvider.System);
        RunRecorder.WriteEnd(events, outcome);
    }

    private static RunId RunIdOf(RunSubmission submission) => PipelineRun.IdOf(submission.Directory + " " + submission.Start);

    private sealed record Opened(ILedRun Run) : INoSerializationVerificationNeeded;

    private sealed record OpeningFailed(Exception Fault) : INoSerializationVerificationNeeded;

    private sealed record PatienceTick : INoSerializationVerificationNeeded;

    private sealed record Ended(RunOutcome Outcome) : INoSerializationVerificationNeeded;

    private sealed record Noticed(RunNotice Notice) : INoSerializationVerificationNeeded;

    private sealed class NoticeForwarder(IActorRef target) : IRunObserver
    {
        public void OnNotice(RunNotice notice) => target.Tell(new Noticed(notice));
    }
}
