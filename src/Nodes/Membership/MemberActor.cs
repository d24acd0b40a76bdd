using Akka.Actor;
using Pipeline.Operator;
using Pipeline.Protocol;
using static Pipeline.Protocol.MembershipProtocol;
using static Pipeline.Protocol.OperatorProtocol;
using static Pipeline.Protocol.ProfileProtocol;

namespace Pipeline.Nodes;

/// <summary>
/// A node as a member of its cluster: says who it is, and remembers the run that the cluster is at, so that whoever leads next can learn of
/// it from any node that is left. While there is none it lets the costs of a model's units be measured on its machine.
/// </summary>
public sealed class MemberActor : ReceiveActor
{
    /// <summary>Its name below the user guardian.</summary>
    public const string Name = "member";

    private const int LongestFault = 600;

    private readonly Action<string>? _isAt;
    private readonly Func<MeasureUnits, CancellationToken, Task<MeasuredUnits>>? _measure;
    private NodeDescribed _self;
    private Action? _stopMeasuring;
    private string _measurement = "";
    private IActorRef _asker = ActorRefs.Nobody;

    /// <summary>Called by the actor system; see <see cref="Props"/>.</summary>
    public MemberActor(
        NodeDescribed self, Action<string> refused, Func<IReadOnlyList<LinkLine>> links, Action<string>? isAt, Func<MeasureUnits, CancellationToken, Task<MeasuredUnits>>? measure)
    {
        (_self, _isAt, _measure) = (self, isAt, measure);
        Receive<DescribeLinks>(_ => Sender.Tell(new LinksDescribed(links(), ProcessLoad.Of(Environment.ProcessId))));
        Receive<NotAdmitted>(answer => refused(answer.Reason));
        Receive<DescribeNode>(_ => Sender.Tell(_self));
        Receive<AnnounceRun>(announced => Remember(announced.Run));
        Receive<MeasureUnits>(OnMeasureUnits);
        Receive<MeasurementEnded>(OnMeasurementEnded);
        Receive<ForgetRun>(forget => { if (_self.Run?.Start == forget.Start) Remember(null); });
    }

    /// <summary>How to make one.</summary>
    /// <param name="self">What it says of the node.</param>
    /// <param name="refused">Told why, when the node may not take part.</param>
    /// <param name="links">The links by which the node sends, at the moment of the call.</param>
    /// <param name="isAt">Told the directory of the run that the cluster is at; nothing for none.</param>
    /// <param name="measure">Measures the costs of units, on threads of its own; nothing where the node cannot.</param>
    public static Props Props(
        NodeDescribed self, Action<string> refused, Func<IReadOnlyList<LinkLine>> links, Action<string>? isAt = null, Func<MeasureUnits, CancellationToken, Task<MeasuredUnits>>? measure = null) =>
        Akka.Actor.Props.Create(() => new MemberActor(self, refused, links, isAt, measure));

    /// <inheritdoc/>
    protected override void PostStop() => _stopMeasuring?.Invoke();

    private void Remember(SubmitRun? run)
    {
        _self = _self with { Run = run };
        _isAt?.Invoke(run?.Directory ?? "");
        if (run is not null) _stopMeasuring?.Invoke();
    }

    private void OnMeasureUnits(MeasureUnits ask)
    {
        // Asked by another leader meanwhile: the one before will not hear the answer.
        if (_stopMeasuring is not null && ask.Id == _measurement)
        {
            _asker = Sender;
            return;
        }

        var refusal = Refusal();
        if (refusal is not null || _measure is not { } measure)
        {
            Sender.Tell(Answer(ask, null, refusal ?? "It cannot measure."));
            return;
        }

        // Without timers it holds nothing that would have to be freed, and may be asked to stop after its end.
        CancellationTokenSource stop = new();
        (_stopMeasuring, _measurement, _asker) = (stop.Cancel, ask.Id, Sender);
        _ = RunAsync(measure, ask, stop.Token).PipeTo(Self);
    }

    private static async Task<MeasurementEnded> RunAsync(Func<MeasureUnits, CancellationToken, Task<MeasuredUnits>> measure, MeasureUnits ask, CancellationToken cancellation)
    {
        try
        {
            return new MeasurementEnded(ask, await measure(ask, cancellation).ConfigureAwait(false), "");
        }
        catch (OperationCanceledException)
        {
            return new MeasurementEnded(ask, null, "A run was submitted meanwhile, and goes first.");
        }
        catch (Exception fault)
        {
            // Faults of native code bring their stack along.
            return new MeasurementEnded(ask, null, fault.Message.Length <= LongestFault ? fault.Message : fault.Message[..LongestFault] + "…");
        }
    }

    private string? Refusal() =>
        _self.Run is { } run ? $"It is at the run in {run.Directory}, whose steps a measurement would disturb."
        : _stopMeasuring is not null ? "It measures already, for somebody else."
        : null;

    private void OnMeasurementEnded(MeasurementEnded ended)
    {
        _stopMeasuring = null;
        _asker.Tell(Answer(ended.Ask, ended.Costs, ended.Fault));
    }

    private UnitsMeasured Answer(MeasureUnits ask, MeasuredUnits? costs, string fault) => new(ask.Id, _self.Info.Id.Address, costs, fault);

    private sealed record MeasurementEnded(MeasureUnits Ask, MeasuredUnits? Costs, string Fault) : INoSerializationVerificationNeeded;
}
