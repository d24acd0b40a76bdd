using Akka.Actor;
using Akka.Cluster;
using Akka.Event;
using Pipeline.Coordinator;
using Pipeline.Operator;
using Pipeline.Protocol;
using Pipeline.Runs;
using static Pipeline.Protocol.MembershipProtocol;
using static Pipeline.Protocol.OperatorProtocol;

namespace Pipeline.Nodes;

/// <summary>
/// Leads the cluster's run: one of the coordinators, chosen by the cluster, has it. It learns who is there, takes an operator's requests,
/// opens the submitted run, or the one that a former leader has left, and tells the run's coordinator who comes and goes.
/// </summary>
public sealed partial class RunHostActor : ReceiveActor, IWithTimers
{
    private readonly IRunSource _source;
    private readonly Action<string, Uri?> _announce;
    private readonly Func<RunSubmission, CommandDesk, Task<IRunAttendance?>> _attend;
    private readonly Action _replaced;
    private readonly Lazy<NodeAdmission> _admission;
    private readonly Cluster _cluster = Cluster.Get(Context.System);
    private readonly ILoggingAdapter _log = Context.GetLogger();
    private readonly HashSet<NodeId> _up = [];
    private readonly HashSet<Address> _silent = [];
    private readonly Dictionary<Address, NodeDescribed> _nodes = [];
    private SubmitRun? _submission;
    private ILedRun? _run;
    private IActorRef _coordinator = ActorRefs.Nobody;
    private string _phase = "idle";

    /// <summary>Called by the actor system; see <see cref="Props"/>.</summary>
    public RunHostActor(
        IRunSource source, Func<NodeDescribed> self, Action<string, Uri?> announce, Func<RunSubmission, CommandDesk, Task<IRunAttendance?>> attend, Action replaced)
    {
        (_source, _announce, _attend, _replaced) = (source, announce, attend, replaced);
        _admission = new(() => new NodeAdmission(self()));
        ReceiveMembership();
        ReceiveRequests();
        ReceiveProfiling();
        Receive<Opened>(OnOpened);
        Receive<OpeningFailed>(OnOpeningFailed);
        Receive<Ended>(ended => OnEnded(ended.Outcome));
    }

    /// <inheritdoc/>
    public ITimerScheduler Timers { get; set; } = null!;

    /// <summary>How to make one.</summary>
    /// <param name="source">Opens what is submitted.</param>
    /// <param name="self">What the node says of itself: others are held against it.</param>
    /// <param name="announce">Told the run directory once it is led from here, and where people can look at it once that is known.</param>
    /// <param name="attend">Has somebody look after the run.</param>
    /// <param name="replaced">Told when another leader has taken the run over: this node was given up.</param>
    public static Props Props(
        IRunSource source, Func<NodeDescribed> self, Action<string, Uri?> announce, Func<RunSubmission, CommandDesk, Task<IRunAttendance?>> attend, Action replaced) =>
        Akka.Actor.Props.Create(() => new RunHostActor(source, self, announce, attend, replaced));

    /// <inheritdoc/>
    protected override void PreStart()
    {
        _cluster.Subscribe(Self, ClusterEvent.SubscriptionInitialStateMode.InitialStateAsEvents, typeof(ClusterEvent.IMemberEvent), typeof(ClusterEvent.IReachabilityEvent));
        Context.System.EventStream.Subscribe(Self, typeof(ProcessGone));
    }

    /// <inheritdoc/>
    protected override void PostStop()
    {
        _cluster.Unsubscribe(Self);
        Context.System.EventStream.Unsubscribe(Self);
        _run?.Dispose();
        Leave();
    }

    /// <summary>The run's coordinator is not begun anew under its old name: what it knew is in the journal, for the next leader.</summary>
    protected override SupervisorStrategy SupervisorStrategy() => new OneForOneStrategy(_ => Directive.Stop);

    private void ReceiveMembership()
    {
        Receive<ClusterEvent.MemberUp>(up => OnUp(up.Member));
        Receive<ClusterEvent.UnreachableMember>(gone => Lose(gone.Member, node => new NodeSuspected(node, "it does not answer the cluster's heartbeats"), forget: false));
        Receive<ClusterEvent.ReachableMember>(back => _silent.Remove(back.Member.Address));
        Receive<ClusterEvent.MemberDowned>(gone => Lose(gone.Member, node => new NodeSuspected(node, "it was removed from the cluster"), forget: true));
        Receive<ClusterEvent.MemberRemoved>(gone => Lose(gone.Member, node => new NodeLeft(node), forget: true));
        Receive<ClusterEvent.IMemberEvent>(_ => { });
        Receive<NodeDescribed>(OnDescribed);
    }

    private void ReceiveRequests()
    {
        Receive<SubmitRun>(OnSubmit);
        Receive<EndRun>(_ => OnEnd());
        Receive<RebalanceRun>(_ => OnRebalance());
        Receive<Vacate>(OnVacate);
        Receive<ReportDead>(OnReportedDead);
        Receive<AskStatus>(_ => OnAskStatus());
        ReceiveCommands();
        Receive<Answered>(answered => Sender.Tell(Status(answered.Status, answered.Links)));
    }

    private void OnUp(Member member)
    {
        _up.Add(IdOf(member));
        MemberAt(member.Address).Tell(new DescribeNode());
    }

    private void OnDescribed(NodeDescribed node)
    {
        var address = Address.Parse(node.Info.Id.Address);
        // An answer may arrive after its sender was removed.
        if (!_up.Contains(node.Info.Id)) return;
        if (_admission.Value.RefusalOf(node, _nodes.Where(known => !_silent.Contains(known.Key)).Select(known => known.Value)) is { } refusal)
        {
            _log.Say(LogLevel.WarningLevel, new LogSaying("node-not-admitted", $"{refusal} It is not let take part."));
            Sender.Tell(new NotAdmitted(refusal));
            return;
        }

        _nodes[address] = node;
        _coordinator.Tell(new NodeJoined(node.Info));
        if (_submission is { } submission) MemberAt(address).Tell(new AnnounceRun(submission));
        else if (node.Run is { } left && !RunEnding.IsOver(new RunFiles(left.Directory))) Open(left);
    }

    /// <summary>Of a member that is gone for good the run hears also where it has never said who it is: a former leader may have given it ranks.</summary>
    private void Lose(Member member, Func<NodeId, object> notice, bool forget)
    {
        var id = IdOf(member);
        if (forget) _up.Remove(id);
        if (forget) _silent.Remove(member.Address);
        else _silent.Add(member.Address);
        var isKnown = _nodes.TryGetValue(member.Address, out var node) && node.Info.Id == id;
        if (isKnown && forget) _nodes.Remove(member.Address);
        if (isKnown || forget) _coordinator.Tell(notice(id));
        LoseProfiled(member.Address);
    }

    private void OnSubmit(SubmitRun submit)
    {
        if (_submission is not { } current)
        {
            Open(submit);
            Sender.Tell(new Answer(true, "The run is accepted."));
        }
        else
        {
            Sender.Tell(current.Start == submit.Start
                ? new Answer(true, "The run is led here already.")
                : new Answer(false, $"The cluster is busy with the run in {current.Directory}. Wait for its end, or stop it with: pipeline ctl stop --run {current.Directory}"));
        }
    }

    private void Open(SubmitRun submission)
    {
        (_submission, _phase) = (submission, "opening");
        // The nodes hear of the run, and stop by themselves.
        _profiling?.GiveUp($"A run was submitted meanwhile, in {submission.Directory}, and goes first. Measure after its end.");
        foreach (var member in _nodes.Keys) MemberAt(member).Tell(new AnnounceRun(submission));
        var owner = _cluster.SelfUniqueAddress.ToString();
        _ = Task.Run(() => _source.Open(Submission(submission), owner))
            .PipeTo(Self, success: run => new Opened(run), failure: fault => new OpeningFailed(fault));
    }

    private void OnOpened(Opened opened)
    {
        if (_submission is not { } submission) return;
        (_run, _phase) = (opened.Run, "running");
        _announce(submission.Directory, null);
        TaskCompletionSource<RunOutcome> ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
        var cluster = _cluster;
        var run = opened.Run.Coordinated with
        {
            // Who is there already is waited for, too: the ranks are spread over all.
            NodeCount = Math.Max(submission.NodeCount, _nodes.Values.Count(node => node.Info.Roles.Contains(NodeInfo.StageRole))),
            Home = new NodeId(_cluster.SelfAddress.ToString(), _cluster.SelfUniqueAddress.Uid),
            Down = (node, _) => cluster.Down(Address.Parse(node.Address)),
        };
        RunWatch watch = new(TimeProvider.System, new RunFiles(submission.Directory), run.Predecessor?.RecordedStep ?? submission.ResumeFrom);
        _coordinator = Context.ActorOf(CoordinatorActor.Props(run, new ObserverChain(opened.Run.Recorder, watch), ended), "coordinator-" + submission.Start);
        Attend(submission, DeskFor(new RunFiles(submission.Directory), watch));
        foreach (var node in _nodes.Values) _coordinator.Tell(new NodeJoined(node.Info));
        foreach (var gone in (run.Predecessor?.Entry.Nodes ?? []).Where(node => !_up.Contains(node))) _coordinator.Tell(new NodeLeft(gone));
        _ = ended.Task.PipeTo(Self, success: outcome => new Ended(outcome), failure: fault => new Ended(new RunOutcome(RunEnd.Failed, 0, fault.Message)));
    }

    private void OnOpeningFailed(OpeningFailed failed)
    {
        if (_submission is not { } submission) return;
        _log.Say(LogLevel.ErrorLevel, new LogSaying("run-not-opened", $"The run in {submission.Directory} cannot be opened."), failed.Fault);
        RunEnding.Write(new RunFiles(submission.Directory), new RunOutcome(RunEnd.Failed, submission.ResumeFrom, failed.Fault.Message) { IsPreparationFailure = true });
        Forget();
    }

    private void OnEnded(RunOutcome outcome)
    {
        _log.Say(LogLevel.InfoLevel, new LogSaying("run-ended", $"The run ended: {outcome.End.ToString().ToLowerInvariant()} at step {outcome.Step}.", Step: outcome.Step));
        var isTakenOver = _run is { IsTakenOver: true };
        _run?.Dispose();
        _run = null;
        Leave();
        // The run goes on under another leader, who must not hear of an end from this one.
        if (isTakenOver) _replaced();
        else Forget();
    }

    private void Forget()
    {
        foreach (var member in _nodes.Keys) MemberAt(member).Tell(new ForgetRun(_submission!.Start));
        (_submission, _coordinator, _desk, _phase) = (null, ActorRefs.Nobody, null, "idle");
    }

    private void OnEnd()
    {
        if (_coordinator.IsNobody())
        {
            Sender.Tell(new Answer(false, "There is no run to stop."));
            return;
        }

        _coordinator.Tell(StopRun.Instance);
        Sender.Tell(new Answer(true, "The run stops after the step under way, saving first."));
    }

    private void OnRebalance()
    {
        if (_coordinator.IsNobody())
        {
            Sender.Tell(new Answer(false, "There is no run to rebalance."));
            return;
        }

        var asker = Sender;
        _ = _coordinator.Ask<Rebalanced>(Rebalance.Instance, TimeSpan.FromSeconds(20)).PipeTo(
            asker,
            success: done => done.Refusal is { } refusal
                ? new Answer(false, refusal)
                : new Answer(true, $"The units are divided {string.Join(" + ", done.UnitCounts)} from the end of step {done.Step} on."),
            failure: _ => new Answer(false, "The run did not answer in time; `pipeline ctl status` shows what it is at."));
    }

    private void OnReportedDead(ReportDead dead)
    {
        if (_nodes.Values.FirstOrDefault(node => node.Name == dead.Name && node.ProcessId == dead.ProcessId) is { } node)
        {
            _coordinator.Tell(new NodeSuspected(node.Info.Id, "its process has ended"));
            _cluster.Down(Address.Parse(node.Info.Id.Address));
            EndProfiled(Address.Parse(node.Info.Id.Address));
        }

        Sender.Tell(new Answer(true, "Noted."));
    }

    private void OnAskStatus()
    {
        var asker = Sender;
        var links = LinkSurvey.AskAsync([.. _nodes.Keys.Select(MemberAt)]);
        var run = _coordinator.IsNobody() ? Task.FromResult<RunStatus?>(null) : _coordinator.Ask<RunStatus?>(QueryStatus.Instance, TimeSpan.FromSeconds(10));
        _ = AnswerAsync().PipeTo(Self, asker);

        async Task<Answered> AnswerAsync() => new(await run.ConfigureAwait(false), await links.ConfigureAwait(false));
    }

    private ClusterStatus Status(RunStatus? run, IReadOnlyList<LinkLine> links) => new(
        [.. _nodes.Values.OrderBy(node => node.Name, StringComparer.Ordinal).Select(LineOf)],
        [.. (run?.Stages ?? []).Select(stage => new StageLine(stage.Rank, NameOf(stage.Node), stage.Holder is { } holder ? NameOf(holder) : "", stage.UnitCount, stage.Step))],
        run?.Generation.Number ?? 0,
        run?.Step ?? 0,
        run?.Phase ?? _phase,
        _submission?.Directory ?? "",
        run?.ProtectedStep ?? 0,
        links);

    private NodeLine LineOf(MembershipProtocol.NodeDescribed node) => new(
        node.Name, node.ProcessId, node.Info.Roles, node.Info.Id.Address, node.Info.HostName, node.Info.Id.Address == _cluster.SelfAddress.ToString(), node.Info.Device,
        node.Info.ThreadCount, node.Info.MemoryByteCount, node.Info.Speed);

    private string NameOf(NodeId id) => _nodes.Values.FirstOrDefault(node => node.Info.Id == id)?.Name ?? id.Address;

    private static NodeId IdOf(Member member) => new(member.Address.ToString(), member.UniqueAddress.Uid);

    private ActorSelection MemberAt(Address member) => Context.ActorSelection(new RootActorPath(member) / "user" / MemberActor.Name);

    private sealed record Opened(ILedRun Run) : INoSerializationVerificationNeeded;

    private sealed record OpeningFailed(Exception Fault) : INoSerializationVerificationNeeded;

    private sealed record Ended(RunOutcome Outcome) : INoSerializationVerificationNeeded;

    private sealed record Answered(RunStatus? Status, IReadOnlyList<LinkLine> Links) : INoSerializationVerificationNeeded;
}
