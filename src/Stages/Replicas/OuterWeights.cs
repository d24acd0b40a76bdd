using System.Runtime.InteropServices;
using Pipeline.Model.Training;
using Pipeline.Model.Units;
using Pipeline.Reduction;
using TorchSharp;

namespace Pipeline.Stages;

/// <summary>
/// The weights of a stage that all replicas last shared, and the momentum of the outer step. Both belong to the rank's state beside its residuals,
/// under their parameters' names. On the compute thread only; fp32 on the host.
/// </summary>
internal sealed class OuterWeights
{
    /// <summary>What the names of their tensors begin with, after that of everything that is kept beside the stages.</summary>
    internal const string Prefix = "outer.";

    private readonly StageModel _model;
    private readonly ResidualStore _store;
    private readonly OuterStep _settings;
    private readonly float _share;

    /// <param name="model">The stage, with the weights to start from where none are known to have been shared.</param>
    /// <param name="store">Keeps the tensors.</param>
    /// <param name="settings">The outer step.</param>
    /// <param name="replicaCount">Replicas.</param>
    internal OuterWeights(StageModel model, ResidualStore store, OuterStep settings, int replicaCount)
    {
        (_model, _store, _settings, _share) = (model, store, settings, 1f / replicaCount);
        foreach (var parameter in Parameters)
        {
            var isKnown = store.IsLoaded(SharedName(parameter));
            var shared = Shared(parameter);
            _ = Momentum(parameter);
            if (!isKnown) Floats(parameter.Master).CopyTo(shared);
        }
    }

    /// <summary>Leaves what the replica has moved since the last meeting, the shared weights less its own, in the gradients; of tied uses nothing.</summary>
    internal void PutMoved()
    {
        foreach (var parameter in Parameters.Where(parameter => parameter.Spec.TiedTo is null))
        {
            var shared = Shared(parameter);
            var own = Floats(parameter.Master);
            var moved = Floats(parameter.Gradient);
            for (var index = 0; index < moved.Length; index++) moved[index] = shared[index] - own[index];
        }
    }

    /// <summary>
    /// Takes the outer step with the sum of what all have moved, which lies in the gradients: SGD with Nesterov's momentum. The stage computes with the
    /// outcome from then on, and the gradients are cleared.
    /// </summary>
    internal void Step()
    {
        // Of tied uses in one stage the owner's; it comes first.
        foreach (var tie in _model.Ties.Where(tie => !tie.IsOwner))
        {
            if (_model.Ties.FirstOrDefault(other => other.IsOwner && other.Group == tie.Group) is not { } owner) continue;
            Floats(owner.Parameter.Gradient).CopyTo(Floats(tie.Parameter.Gradient));
        }

        foreach (var parameter in Parameters) Step(parameter);
        _model.ClearGradients();
        _model.StateLoaded();
    }

    private void Step(ParameterState parameter)
    {
        var shared = Shared(parameter);
        var momentum = Momentum(parameter);
        var sum = Floats(parameter.Gradient);
        var own = Floats(parameter.Master);
        var (keep, rate) = ((float)_settings.Momentum, (float)_settings.LearningRate);
        for (var index = 0; index < shared.Length; index++)
        {
            var moved = sum[index] * _share;
            momentum[index] = keep * momentum[index] + moved;
            own[index] = shared[index] -= rate * (moved + keep * momentum[index]);
        }
    }

    private IEnumerable<ParameterState> Parameters => _model.Units.SelectMany(unit => unit.Parameters);

    private Span<float> Shared(ParameterState parameter) => _store.Of(SharedName(parameter), checked((int)parameter.Spec.ElementCount));

    private Span<float> Momentum(ParameterState parameter) => _store.Of($"{Prefix}momentum.{parameter.FullName}", checked((int)parameter.Spec.ElementCount));

    private static string SharedName(ParameterState parameter) => $"{Prefix}shared.{parameter.FullName}";

    private static Span<float> Floats(torch.Tensor tensor) => MemoryMarshal.Cast<byte, float>(tensor.bytes);
}
