using Akka.Actor;
using Pipeline.Protocol;
using Pipeline.Protocol.Links;
using Pipeline.Stages;
using static Pipeline.Protocol.NodeProtocol;
using static Pipeline.Protocol.StageProtocol;

namespace Pipeline.Nodes;

/// <summary>
/// A node as the coordinator of a run sees it, beside its place in the cluster: it makes the actors of the ranks that it is given, holds copies of other nodes' ranks, beats
/// while it lives, and says what it hosts. It obeys the highest generation that it has heard of, one run at a time. It decides nothing.
/// </summary>
public sealed class StageHostActor : ReceiveActor, IWithTimers
{
    /// <summary>Its name below the user guardian.</summary>
    public const string Name = "stages";

    private readonly NodeInfo _self;
    private readonly IStageWorkloadFactory _workloads;
    private readonly Action<string> _fenced;
    private readonly Action<Generation>? _heard;
    private readonly TimeSpan _beatEvery;
    private readonly LinkHub? _hub;
    private readonly CopyLinks? _copyLinks;
    private readonly Dictionary<int, IActorRef> _stages = [];
    private readonly Dictionary<int, (AssignStage Assignment, IActorRef Coordinator)> _waiting = [];
    private readonly HashSet<IActorRef> _ending = [];
    private readonly HostedGatherings _gatherings = new();
    private IActorRef _copies = ActorRefs.Nobody;
    private IActorRef _coordinator = ActorRefs.Nobody;
    private RunId? _run;
    private Generation _generation;

    /// <summary>Called by the actor system; see <see cref="Props"/>.</summary>
    public StageHostActor(NodeInfo self, IStageWorkloadFactory workloads, Action<string> fenced, TimeSpan beatEvery, LinkHub? hub, LinkKindChoice choice, Action<Generation>? heard)
    {
        _heard = heard;
        _copyLinks = hub is null ? null : new CopyLinks(hub, choice);
        (_self, _workloads, _fenced, _beatEvery, _hub) = (self, workloads, fenced, beatEvery, hub);
        Receive<HostStage>(IsObeyed, OnHostStage);
        Receive<ReportHosted>(IsObeyed, OnReportHosted);
        Receive<ReleaseStages>(IsObeyed, OnRelease);
        Receive<Fenced>(fence => fence.Node == _self.Id, OnFenced);
        Receive<StageStanding>(OnStanding);
        Receive<HeldCopies>(OnHeld);
        Receive<StageEnded>(OnStageEnded);
        Receive<BeatTick>(_ => Beat());
        ReceiveAny(_ => { });
    }

    /// <inheritdoc/>
    public ITimerScheduler Timers { get; set; } = null!;

    /// <summary>How to make one.</summary>
    /// <param name="self">What it says of itself.</param>
    /// <param name="workloads">What its stages compute with.</param>
    /// <param name="fenced">Told, with a sentence for people, when the node was given up and must end.</param>
    /// <param name="beatEvery">Time between its signs of life.</param>
    /// <param name="hub">The node's links to others; null where tensors travel as messages.</param>
    /// <param name="choice">What carries copies of states to other nodes.</param>
    /// <param name="heard">Told each generation that it obeys; null for nobody.</param>
    public static Props Props(
        NodeInfo self, IStageWorkloadFactory workloads, Action<string> fenced, TimeSpan beatEvery, LinkHub? hub = null, LinkKindChoice choice = LinkKindChoice.Automatic, Action<Generation>? heard = null) =>
        Akka.Actor.Props.Create(() => new StageHostActor(self, workloads, fenced, beatEvery, hub, choice, heard));

    /// <summary>A stage that failed has lost its state: it stops, and the coordinator hears of it.</summary>
    protected override SupervisorStrategy SupervisorStrategy() => new OneForOneStrategy(_ => Directive.Stop);

    /// <inheritdoc/>
    protected override void PreStart()
    {
        _copies = Context.ActorOf(CopyHolder.Props(_copyLinks), NodeInfo.CopyHolderName);
        Timers.StartPeriodicTimer("beat", new BeatTick(), _beatEvery);
    }

    /// <inheritdoc/>
    protected override void PostStop() => _copyLinks?.Dispose();

    /// <summary>A node that hosts nothing may change the run; else only what is not older than what it knows is obeyed.</summary>
    private bool IsObeyed(INodeCommand command)
    {
        if (_run is { } run && run != command.Run && _stages.Count > 0) return false;
        if (_run == command.Run && command.Generation < _generation) return false;
        if (_run is { } former && former != command.Run) _copies.Tell(new ForgetRun(former));
        if (_run != command.Run || _generation != command.Generation) _heard?.Invoke(command.Generation);
        (_run, _generation, _coordinator) = (command.Run, command.Generation, Sender);
        return true;
    }

    private void OnHostStage(HostStage host)
    {
        // All actors before the first assignment: neighbours of one node must find each other.
        foreach (var rank in host.Ranks) Ensure(rank, host.Assignment.Layout);
        if (_stages.TryGetValue(host.Assignment.Rank, out var stage)) stage.Forward(host.Assignment);
        else _waiting[host.Assignment.Rank] = (host.Assignment, Sender);
    }

    /// <summary>The actor that all others are told of. A name is free only once its former bearer has ended.</summary>
    private void Ensure(int rank, PipelineLayout layout)
    {
        if (_run is null || (uint)rank >= (uint)layout.Ranks.Count) return;
        var path = layout.Ranks[rank].StagePath;
        var name = path[(path.LastIndexOf('/') + 1)..];
        if (_stages.TryGetValue(rank, out var former))
        {
            if (former.Path.Name == name) return;
            Dismiss(rank);
        }

        if (!Context.Child(name).IsNobody()) return;
        var stage = Context.ActorOf(StageActor.Props(_workloads, _hub, _copyLinks), name);
        Context.WatchWith(stage, new StageEnded(rank, stage));
        _stages.Add(rank, stage);
    }

    private void OnRelease(ReleaseStages release)
    {
        var isWhole = release.Ranks.Count == 0;
        foreach (var rank in isWhole ? _stages.Keys.ToArray() : release.Ranks)
        {
            _waiting.Remove(rank);
            Dismiss(rank);
        }

        if (!isWhole) return;
        _copies.Tell(new ForgetRun(release.Run));
        (_run, _coordinator) = (null, ActorRefs.Nobody);
    }

    private void Dismiss(int rank)
    {
        if (!_stages.Remove(rank, out var stage)) return;
        _ending.Add(stage);
        Context.Stop(stage);
    }

    private void OnStageEnded(StageEnded ended)
    {
        _gatherings.Lose(ended.Stage);
        ReportHosted();
        if (!_ending.Remove(ended.Stage)) _stages.Remove(ended.Rank);
        if (!_waiting.Remove(ended.Rank, out var waiting)) return;
        Ensure(ended.Rank, waiting.Assignment.Layout);
        _stages[ended.Rank].Tell(waiting.Assignment, waiting.Coordinator);
    }

    private void OnReportHosted(ReportHosted ask)
    {
        _gatherings.Add(new HostedGathering(Sender, ask.Run, ask.Generation, _stages.Values));
        foreach (var stage in _stages.Values) stage.Tell(new ReportStanding());
        _copies.Tell(new ReportHeld(ask.Run));
    }

    private void OnStanding(StageStanding standing)
    {
        _gatherings.Enter(Sender, standing);
        ReportHosted();
    }

    private void OnHeld(HeldCopies held)
    {
        _gatherings.Enter(held);
        ReportHosted();
    }

    private void ReportHosted()
    {
        foreach (var gathering in _gatherings.TakeComplete()) gathering.Asker.Tell(gathering.Report(_self));
    }

    private void OnFenced(Fenced fence)
    {
        foreach (var stage in _stages.Values) Context.Stop(stage);
        _stages.Clear();
        _coordinator = ActorRefs.Nobody;
        _fenced($"This node was given up in generation {fence.Generation} of run {fence.Run}: its stages have been replaced. It ends.");
    }

    private void Beat()
    {
        if (!_coordinator.IsNobody()) _coordinator.Tell(new NodeBeat(_self.Id, _generation));
    }

    private sealed record BeatTick : INoSerializationVerificationNeeded;

    private sealed record StageEnded(int Rank, IActorRef Stage) : INoSerializationVerificationNeeded;
}
