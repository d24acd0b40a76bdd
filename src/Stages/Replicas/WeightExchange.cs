using System.Diagnostics;
using Pipeline.Model.Units;
using Pipeline.Protocol;
using Pipeline.Protocol.Frames;
using Pipeline.Schedules;
using static TorchSharp.torch;

namespace Pipeline.Stages;

/// <summary>
/// Where each replica updates a share of the weights: sends what it has updated, in the type that is computed with, and takes what the others
/// have. One frame a unit and owner. On the compute thread only; owns nothing.
/// </summary>
internal sealed class WeightExchange
{
    private readonly RankPlan _plan;
    private readonly StageInbox _inbox;
    private readonly IStageLinks _links;
    private readonly StepRecorder _recorder;
    private readonly OptimizerOwners _owners;

    internal WeightExchange(RankPlan plan, OptimizerOwners owners, StageInbox inbox, IStageLinks links, StepRecorder recorder)
    {
        (_plan, _inbox, _links, _recorder, _owners) = (plan, inbox, links, recorder, owners);
    }

    /// <summary>Sends the weights of a stage that this replica has just updated.</summary>
    internal void Send(int stage, StepKey step)
    {
        foreach (var unit in _plan.Models[stage].Units)
        {
            var own = OwnedBy(unit, _plan.Place.Index);
            if (own.Length == 0) continue;
            using var joined = Join(own);
            for (var replica = 0; replica < _plan.Place.Count; replica++)
            {
                if (replica == _plan.Place.Index) continue;
                _recorder.Exchanged(joined.numel());
                _links.Send(_plan.Mesh.RankOfUnit(replica, unit.Index), KeyOf(unit, _plan.Place.Index, step), KeptMessages.Alias(joined), AlreadyDone.Instance);
            }
        }
    }

    /// <summary>Takes the weights of a stage that the others have updated.</summary>
    internal void Gather(StageAction action, StepKey step)
    {
        var asked = Stopwatch.GetTimestamp();
        var ready = 0L;
        foreach (var unit in _plan.Models[action.Stage].Units)
        {
            for (var replica = 0; replica < _plan.Place.Count; replica++)
            {
                if (replica == _plan.Place.Index || OwnedBy(unit, replica) is not { Length: > 0 } theirs) continue;
                var arrived = _inbox.TakeTensor(KeyOf(unit, replica, step));
                using var joined = arrived.Value.Take(CPU);
                Split(joined, theirs);
                ready = Math.Max(ready, arrived.Timestamp);
            }
        }

        _recorder.Record(action, asked, ready, Math.Max(asked, ready));
    }

    private ParameterState[] OwnedBy(UnitState unit, int replica) => [.. unit.Parameters.Where(parameter => _owners[parameter.FullName] == replica)];

    /// <summary>The unit stands where other frames name an edge, the sender instead of the micro-batch.</summary>
    private static FrameKey KeyOf(UnitState unit, int replica, StepKey step) => new(step, unit.Index, replica, 0, FrameKind.UpdatedWeights);

    private static Tensor Join(ParameterState[] parameters)
    {
        using var guard = no_grad();
        var joined = empty(parameters.Sum(ByteCount), ScalarType.Byte, CPU).DetachFromDisposeScope();
        var place = joined.bytes;
        foreach (var parameter in parameters)
        {
            using var scope = NewDisposeScope();
            var weight = parameter.Weight.cpu().reshape(-1).bytes;
            weight.CopyTo(place);
            place = place[weight.Length..];
        }

        return joined;
    }

    private static void Split(Tensor joined, ParameterState[] parameters)
    {
        if (joined.dtype != ScalarType.Byte || joined.numel() != parameters.Sum(ByteCount))
            throw new InvalidOperationException($"Expected {parameters.Sum(ByteCount)} bytes of weights of {parameters[0].FullName} and others, found {joined.numel()} of {joined.dtype}.");
        using var guard = no_grad();
        var place = joined.bytes;
        foreach (var parameter in parameters)
        {
            using var flat = parameter.Weight.view(-1);
            place[..(int)ByteCount(parameter)].CopyTo(flat.bytes);
            place = place[(int)ByteCount(parameter)..];
        }
    }

    private static long ByteCount(ParameterState parameter) => parameter.Spec.ElementCount * parameter.Weight.element_size();
}
