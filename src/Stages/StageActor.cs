using Akka.Actor;
using Akka.Event;
using Pipeline.Protocol;
using Pipeline.Protocol.Frames;
using Pipeline.Protocol.Links;
using static Pipeline.Protocol.FlightProtocol;
using static Pipeline.Protocol.StageProtocol;

namespace Pipeline.Stages;

/// <summary>
/// A rank of the pipeline as an actor: it takes an assignment, hands what arrives to its compute thread, and refuses what belongs to
/// an older generation. It computes nothing and waits for nothing. One assignment at a time; a newer one takes the place of the current
/// one as soon as its thread has ended, and a newer generation of the same one changes only the ways out.
/// </summary>
public sealed class StageActor : ReceiveActor
{
    private readonly IStageWorkloadFactory _factory;
    private readonly LinkHub? _hub;
    private readonly CopyLinks? _copyLinks;
    private readonly IActorRefProvider _provider = ((ExtendedActorSystem)Context.System).Provider;
    private readonly ILoggingAdapter _log = Context.GetLogger();
    private readonly StrayInputs _strays;
    private FlightRecorder _flight = new();
    private StageInbox _inbox = new();
    private ActorLinks? _links;
    private CopyOutbox? _copies;
    private StageExecutor? _executor;
    private LiveSettings? _live;
    private AssignStage? _assignment;
    private IActorRef _fetcher = ActorRefs.Nobody;
    private IActorRef _coordinator = ActorRefs.Nobody;
    private (AssignStage Assignment, IActorRef Coordinator)? _next;
    private long _protected;
    private bool _isStopWanted;

    /// <summary>Called by the actor system; see <see cref="Props"/>.</summary>
    public StageActor(IStageWorkloadFactory factory, LinkHub? hub, CopyLinks? copies)
    {
        (_factory, _hub, _copyLinks) = (factory, hub, copies);
        var log = _log;
        _strays = new StrayInputs(TimeProvider.System, sentence => log.Say(LogLevel.WarningLevel, new LogSaying("input-refused", sentence)));
        Unassigned();
    }

    /// <summary>How to make one.</summary>
    /// <param name="factory">Makes the workload of an assignment.</param>
    /// <param name="hub">The process's end of its links to others; null where tensors leave it as messages.</param>
    /// <param name="copies">How copies of its state travel to other processes; null where they go as messages.</param>
    public static Props Props(IStageWorkloadFactory factory, LinkHub? hub = null, CopyLinks? copies = null) => Akka.Actor.Props.Create(() => new StageActor(factory, hub, copies));

    /// <inheritdoc/>
    protected override void PostStop()
    {
        _links?.Orphan();
        _executor?.RequestStop();
        if (_executor is null) _links?.Close();
        else _ = _executor.Ended.ContinueWith(_ => _links?.Close(), TaskScheduler.Default);
        _copies?.Close();
    }

    private void Unassigned()
    {
        Receive<AssignStage>(IsNewer, Assign);
        Receive<StopStage>(IsCurrent, _ => ReportStopped());
        Receive<ReportStanding>(_ => Sender.Tell(new StageStanding(null)));
        Receive<ReportFlight>(OnReportFlight);
        RefuseTheRest();
    }

    private void Assigned()
    {
        Receive<TensorHandover>(handover => IsOfThisPartition(handover.Key.Step), handover => _inbox.Post(new HandedOver(handover)));
        Receive<NoteHandover>(handover => IsOfThisPartition(handover.Note.Step), handover => Post(handover.Note));
        Receive<TensorFrame>(frame => IsNotReplaced(frame.Key.Step), Post);
        Receive<TensorReceived>(received => IsNotReplaced(received.Key.Step), received => _inbox.Post(new ReceivedTensor(received)));
        Receive<NeighbourProtocol.INote>(note => IsNotReplaced(note.Step), Post);
        Receive<AssignStage>(IsNewer, OnNewerAssignment);
        Receive<Regenerate>(newer => newer.Generation > _assignment?.Generation, OnRegenerate);
        Receive<StopStage>(IsCurrent, _ => Stop());
        Receive<EndAfterStep>(IsCurrent, _ => _inbox.WantEnd());
        Receive<GrantSteps>(IsCurrent, OnGrant);
        Receive<HoldSteps>(IsCurrent, OnHold);
        Receive<SaveCheckpoint>(IsCurrent, save => _inbox.Post(save));
        Receive<ReportStanding>(_ => Sender.Tell(new StageStanding(Standing())));
        Receive<ReportFlight>(OnReportFlight);
        Receive<StateTaken>(OnStateTaken);
        Receive<CopyDelivered>(OnCopyDelivered);
        Receive<CopyFailed>(OnCopyFailed);
        Receive<CopiesFetched>(OnCopiesFetched);
        Receive<CopyNotFound>(OnCopyNotFound);
        Receive<ComputeEnded>(_ => OnComputeEnded());
        RefuseTheRest();
    }

    /// <summary>What belongs to no current assignment: memory must be freed, the rest is forgotten.</summary>
    private void RefuseTheRest()
    {
        Receive<TensorHandover>(handover => handover.Tensor.Dispose());
        Receive<TensorReceived>(received => received.Tensor.Dispose());
        Receive<StateTaken>(taken => taken.Copy.Dispose());
        Receive<CopiesFetched>(fetched => Free(fetched.Copies));
        ReceiveAny(_ => { });
    }

    private bool IsCurrent(ICommand command) => command.Generation == _assignment?.Generation;

    /// <summary>
    /// A neighbour may have heard of a newer generation first: what it sends is the same bits, and is not sent again. Nothing is granted
    /// to a new partition before all ranks have it.
    /// </summary>
    private bool IsNotReplaced(StepKey step) => step.Run == _assignment?.Layout.Run && step.Generation >= _assignment.Generation;

    /// <summary>What comes from the same node is not sent again after a change of generation, and cannot come from a node that was replaced.</summary>
    private bool IsOfThisPartition(StepKey step) => step.Run == _assignment?.Layout.Run && step.Generation >= _assignment.Layout.PartitionedIn;

    private bool IsNewer(AssignStage assignment) => _assignment is not { } current || assignment.Generation > current.Generation;

    private void Post(TensorFrame frame)
    {
        if (frame.Tensors.Count == 1) _inbox.Post(new FrameArrival(frame));
        else _strays.Refuse($"a frame of {frame.Tensors.Count} tensors from {Sender.Path}");
    }

    private void Post(NeighbourProtocol.INote note)
    {
        if (note is NeighbourProtocol.StepTotals totals) _links?.Known(totals);
        _inbox.Post(note);
    }

    private void Assign(AssignStage assignment) => Assign(assignment, Sender);

    private void Assign(AssignStage assignment, IActorRef coordinator)
    {
        _assignment = assignment;
        _coordinator = coordinator;
        _isStopWanted = false;
        _protected = assignment.Start.Step;
        _live = new LiveSettings(assignment.Layout);
        var flight = _flight = new FlightRecorder();
        flight.Completed(assignment.Start.Step);
        KeptVolume kept = new(assignment.Layout.AheadByteCount);
        var inbox = _inbox = new StageInbox(flight, AwaitedInputs.Of(assignment.Rank, assignment.Layout), _strays, kept);
        inbox.StartAfter(assignment.Start.Step, assignment.Start.Evaluates);
        _links = new ActorLinks(assignment.Rank, Self, inbox, Table(assignment.Rank, assignment.Layout, coordinator), flight, kept);
        _copies = new CopyOutbox(Context, inbox.ReturnCopyPlace, inbox.Uncopied, _copyLinks);
        _copies.Direct(assignment.Layout, assignment.Rank, Resolve);
        Become(Assigned);
        _links.Report(new StageAssigned(assignment.Generation, assignment.Rank));
        var copies = StartingCopies.Of(assignment);
        if (copies.All(source => source.Holder is null)) Start([]);
        else _fetcher = Context.ActorOf(CopyFetcher.Props([.. copies.Where(source => source.Holder is not null).Select(source => (source.Copy, Resolve(source.Holder!.Path)))], _copyLinks));
    }

    private void Start(IReadOnlyList<StateCopy> copies)
    {
        if (_assignment is not { } assignment || _links is not { } links || _live is not { } live) return;
        _executor = new StageExecutor(assignment, _factory, links, _inbox, live, _flight, copies, new CopyMemory(_copyLinks?.Lends == true));
        _ = _executor.Ended.PipeTo(Self, success: () => new ComputeEnded());
        _executor.Start();
    }

    private void OnCopiesFetched(CopiesFetched fetched)
    {
        if (Sender.Equals(_fetcher) && _executor is null) Start(fetched.Copies);
        else Free(fetched.Copies);
    }

    private void OnCopyNotFound(CopyNotFound missing)
    {
        if (!Sender.Equals(_fetcher) || _assignment is not { } assignment) return;
        _links?.Report(StageFailure.CopyMissing(assignment, missing.Copy));
    }

    private void OnRegenerate(Regenerate newer)
    {
        if (_assignment is not { } assignment || newer.Layout.Run != assignment.Layout.Run || newer.Layout.PartitionedIn != assignment.Layout.PartitionedIn) return;
        _coordinator = Sender;
        if (_next is var (next, _)) _next = (next with { Generation = newer.Generation, Layout = newer.Layout }, Sender);
        _live?.Replace(newer.Layout);
        _assignment = assignment with { Generation = newer.Generation, Layout = newer.Layout };
        _links?.Report(new StageAssigned(newer.Generation, newer.Rank));
        _ = _links?.Regenerate(Table(newer.Rank, newer.Layout, Sender), newer.CompletedSteps);
        _copies?.Direct(newer.Layout, newer.Rank, Resolve);
    }

    private void OnGrant(GrantSteps grant)
    {
        _protected = Math.Max(_protected, grant.ProtectedStep);
        // First: what is forgotten makes room.
        _links?.Forget(grant);
        _inbox.Grant(grant);
    }

    private void OnHold(HoldSteps hold)
    {
        if (_inbox.Hold(hold) is { } begun && _assignment is { } assignment) _links?.Report(new StepsHeld(assignment.Generation, assignment.Rank, hold.Number, begun));
    }

    private HostedStage? Standing()
    {
        if (_assignment is not { } assignment) return null;
        var (doing, still) = _flight.Stillness;
        return new HostedStage(
            assignment.Rank, assignment.Generation, assignment.Layout.PartitionedIn, _executor?.CompletedStep ?? assignment.Start.Step, _inbox.GrantedStep, _protected, _executor?.IsEnded ?? false,
            _executor is null ? HostedStage.State : _inbox.Awaited?.ToString() ?? "", Self.Path.Name, doing, still.TotalSeconds);
    }

    private void OnReportFlight(ReportFlight ask)
    {
        if (_assignment is not { } assignment) return;
        var otherwise = _executor is null ? "waits for its state, or has ended" : "is between two actions";
        var flight = _flight.Report(assignment.Rank, otherwise);
        Sender.Tell(new FlightReported(assignment.Generation, assignment.Rank, ask.Request, flight));
    }

    private void OnStateTaken(StateTaken taken)
    {
        if (_copies is { } copies && taken.Copy.Id.PartitionedIn == _assignment?.Layout.PartitionedIn) copies.Add(taken.Copy);
        else taken.Copy.Dispose();
    }

    private void OnCopyDelivered(CopyDelivered delivered)
    {
        if (_copies?.Delivered(delivered) != true || _assignment is not { } assignment) return;
        var holder = assignment.Layout.Ranks[assignment.Rank].Holder?.Node;
        _links?.Report(new CopyStored(assignment.Generation, assignment.Rank, delivered.Copy.Id.Step, holder));
    }

    private void OnCopyFailed(CopyFailed failed)
    {
        _log.Say(LogLevel.WarningLevel, new LogSaying(
            "copy-not-written", $"The copy of rank {failed.Copy.Id.Rank} after step {failed.Copy.Id.Step} could not be written: {failed.Message} Training goes on.", failed.Copy.Id.Rank, failed.Copy.Id.Step));
        _copies?.Failed(failed.Copy);
    }

    private void OnNewerAssignment(AssignStage assignment)
    {
        _next = (assignment, Sender);
        End();
    }

    private void Stop()
    {
        _isStopWanted = true;
        End();
    }

    private void End()
    {
        Context.Stop(_fetcher);
        if (_executor is null) OnComputeEnded();
        else _executor.RequestStop(finishesSaves: _isStopWanted);
    }

    private void OnComputeEnded()
    {
        var wasFailed = !_isStopWanted && _next is null;
        _executor = null;
        if (wasFailed) return;
        _links?.Close();
        _copies?.Close();
        (_links, _copies) = (null, null);
        if (_isStopWanted) ReportStopped();
        if (_next is var (assignment, coordinator))
        {
            _next = null;
            Assign(assignment, coordinator);
        }
        else if (_isStopWanted)
        {
            Become(Unassigned);
        }
    }

    private void ReportStopped()
    {
        if (_assignment is { } assignment) _coordinator.Tell(new StageStopped(assignment.Generation, assignment.Rank));
    }

    private static void Free(IReadOnlyList<StateCopy> copies)
    {
        foreach (var copy in copies) copy.Dispose();
    }

    private LinkTable Table(int rank, PipelineLayout layout, IActorRef coordinator) =>
        new(rank, layout, coordinator, Resolve, _hub is null ? null : new RankLinks(_hub, rank, layout, Self, _inbox));

    /// <summary>Asked by the actor, and by any thread that sends: it reads what never changes.</summary>
    private IActorRef Resolve(string path) => _provider.ResolveActorRef(path);

    /// <summary>The compute thread has freed everything, by order or after a failure that it has reported.</summary>
    private sealed record ComputeEnded : INoSerializationVerificationNeeded;
}

/// <summary>Asks a rank of this process how far it is.</summary>
public sealed record ReportStanding : INoSerializationVerificationNeeded;

/// <summary>How far a rank of this process is.</summary>
/// <param name="Stage">Null where it has no assignment.</param>
public sealed record StageStanding(HostedStage? Stage) : INoSerializationVerificationNeeded;
