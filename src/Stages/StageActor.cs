using Akka.Actor;
using Pipeline.Protocol;
using Pipeline.Protocol.Frames;
using static Pipeline.Protocol.StageProtocol;

namespace Pipeline.Stages;

/// <summary>
/// A rank of the pipeline as an actor: it takes an assignment, hands what arrives to its compute thread, and refuses what belongs to
/// another generation. It computes nothing and waits for nothing. One assignment at a time; a newer one takes the place of the current
/// one as soon as its thread has ended.
/// </summary>
public sealed class StageActor : ReceiveActor
{
    private readonly IStageWorkloadFactory _factory;
    private StageInbox _inbox = new();
    private StageExecutor? _executor;
    private AssignStage? _assignment;
    private IActorRef _coordinator = ActorRefs.Nobody;
    private (AssignStage Assignment, IActorRef Coordinator)? _next;
    private bool _isStopWanted;

    /// <summary>Called by the actor system; see <see cref="Props"/>.</summary>
    public StageActor(IStageWorkloadFactory factory)
    {
        _factory = factory;
        Unassigned();
    }

    /// <summary>How to make one.</summary>
    /// <param name="factory">Makes the workload of an assignment.</param>
    public static Props Props(IStageWorkloadFactory factory) => Akka.Actor.Props.Create(() => new StageActor(factory));

    /// <inheritdoc/>
    protected override void PostStop() => _executor?.RequestStop();

    private void Unassigned()
    {
        Receive<AssignStage>(IsNewer, Assign);
        Receive<StopStage>(IsCurrent, _ => ReportStopped());
        RefuseTheRest();
    }

    private void Assigned()
    {
        Receive<TensorHandover>(handover => IsCurrent(handover.Key.Step), handover => _inbox.Post(new HandedOver(handover)));
        Receive<TensorFrame>(frame => IsCurrent(frame.Key.Step), frame => _inbox.Post(new FrameArrival(frame)));
        Receive<NeighbourProtocol.INote>(note => IsCurrent(note.Step), note => _inbox.Post(note));
        Receive<AssignStage>(IsNewer, OnNewerAssignment);
        Receive<StopStage>(IsCurrent, _ => Stop());
        Receive<EndAfterStep>(IsCurrent, _ => _inbox.WantEnd());
        Receive<ICommand>(IsCurrent, command => _inbox.Post(command));
        Receive<ComputeEnded>(_ => OnComputeEnded());
        RefuseTheRest();
    }

    /// <summary>What belongs to no current assignment: a tensor must be freed, the rest is forgotten.</summary>
    private void RefuseTheRest()
    {
        Receive<TensorHandover>(handover => handover.Tensor.Dispose());
        Receive<TensorFrame>(_ => { });
        Receive<NeighbourProtocol.INote>(_ => { });
        Receive<ICommand>(_ => { });
    }

    private bool IsCurrent(ICommand command) => command.Generation == _assignment?.Generation && command is not AssignStage;

    private bool IsCurrent(StepKey step) => step.Generation == _assignment?.Generation;

    private bool IsNewer(AssignStage assignment) => _assignment is not { } current || assignment.Generation > current.Generation;

    private void Assign(AssignStage assignment) => Assign(assignment, Sender);

    private void Assign(AssignStage assignment, IActorRef coordinator)
    {
        _assignment = assignment;
        _coordinator = coordinator;
        _isStopWanted = false;
        _inbox = new StageInbox();
        var ranks = assignment.Layout.RankPaths.Select(Resolve).ToArray();
        _executor = new StageExecutor(assignment, _factory, new ActorLinks(assignment.Rank, ranks, Self, coordinator, _inbox, assignment.Layout.Links), _inbox);
        _ = _executor.Ended.PipeTo(Self, success: () => new ComputeEnded());
        _executor.Start();
        Become(Assigned);
    }

    private void OnNewerAssignment(AssignStage assignment)
    {
        _next = (assignment, Sender);
        _executor?.RequestStop();
        if (_executor is null) OnComputeEnded();
    }

    private void Stop()
    {
        _isStopWanted = true;
        if (_executor is null) OnComputeEnded();
        else _executor.RequestStop();
    }

    private void OnComputeEnded()
    {
        _executor = null;
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

    private static IActorRef Resolve(string path) => ((ExtendedActorSystem)Context.System).Provider.ResolveActorRef(path);

    /// <summary>The compute thread has freed everything, by order or after a failure that it has reported.</summary>
    private sealed record ComputeEnded : INoSerializationVerificationNeeded;
}
