using Pipeline.Model.Units;
using static TorchSharp.torch;

namespace Pipeline.Model.Training;

/// <summary>
/// One micro-batch's gradient of a stage's parameters before it is added to the flat buffers: what the weight-gradient half of a split
/// backward works on. Owns saved operands until <see cref="Compute"/>, values from then on; a part of it that comes from autograd (norms,
/// biases, a user's own operations) is a value from the start. The caller adds leaves in the order of the micro-batches and disposes them.
/// </summary>
public sealed class MicroBatchLeaf : IDisposable
{
    private readonly IReadOnlyList<LeafPart> _parts;

    internal MicroBatchLeaf(IReadOnlyList<LeafPart> parts) => _parts = parts;

    /// <summary>Computes every weight gradient and lets the saved operands go; nothing is added yet.</summary>
    public void Compute()
    {
        using var guard = no_grad();
        using var scope = NewDisposeScope();
        foreach (var part in _parts) part.Compute();
    }

    /// <summary>Adds the leaf to the flat buffers, computing what is still to be computed. Once, in the micro-batch's turn.</summary>
    public void Add()
    {
        using var guard = no_grad();
        using var scope = NewDisposeScope();
        foreach (var part in _parts)
        {
            using (part) part.Add();
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var part in _parts) part.Dispose();
    }
}
