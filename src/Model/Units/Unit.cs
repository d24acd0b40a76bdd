using TorchSharp;

namespace Pipeline.Model.Units;

/// <summary>What a pass through a unit is for.</summary>
public enum PassMode
{
    /// <summary>Forward that keeps what backward needs.</summary>
    Train,

    /// <summary>Forward only, loss wanted.</summary>
    Eval,

    /// <summary>Forward only over a prompt; fills the session's state; the head gives logits of the last position.</summary>
    Prefill,

    /// <summary>Forward only of one new token per row, on the session's state.</summary>
    Decode,
}

/// <summary>
/// The smallest piece of a model that is placed as a whole: the atom of partition, cost, flat buffers, random state and checkpoint.
/// A unit is a stateless description; its weights live in the <see cref="UnitState"/> of the stage that holds it.
/// Derive from it to train an architecture of your own through the same library.
/// </summary>
/// <param name="name">Unique in the model; prefix of its parameters' full names.</param>
public abstract class Unit(string name)
{
    /// <summary>Unique in the model.</summary>
    public string Name { get; } = name;

    /// <summary>The parameters, in the order in which they lie in the flat buffers.</summary>
    public abstract IReadOnlyList<ParameterSpec> Parameters { get; }

    /// <summary>Estimated multiply-adds per token of a forward pass: what partition balances.</summary>
    public abstract double Cost { get; }

    /// <summary>Estimated elements per token that a forward keeps for its backward: what the memory estimate sums up.</summary>
    public virtual double KeptElementsPerToken => 0;

    /// <summary>
    /// The forward operation. The backward comes from autograd; products made through <see cref="UnitPass.Linear"/> put their weight
    /// gradients straight into the flat buffer. Runs inside a dispose scope; what it returns leaves the scope.
    /// </summary>
    /// <param name="input">The former unit's output, [B, T, D] in the model's own units; ignored by a first unit, which reads
    /// <see cref="MicroBatch.Tokens"/>.</param>
    /// <param name="pass">Parameters, mode, micro-batch, random state and session of this pass.</param>
    /// <returns>The input of the next unit; from the last unit the loss summed over the micro-batch's
    /// tokens (a scalar of any floating-point type), or logits [B, V] in prefill and decode.</returns>
    public abstract torch.Tensor Forward(torch.Tensor input, UnitPass pass);

    /// <summary>Full name of one of its parameters.</summary>
    public string FullName(ParameterSpec parameter) => $"{Name}.{parameter.Name}";
}
