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
    private readonly IReadOnlyList<LeafGroup> _groups;

    internal MicroBatchLeaf(IReadOnlyList<LeafGroup> groups) => _groups = groups;

    /// <summary>Computes every weight gradient and lets the saved operands go; nothing is added yet.</summary>
    public void Compute()
    {
        using var guard = no_grad();
        using var scope = NewDisposeScope();
        foreach (var part in Parts) part.Compute();
    }

    /// <summary>Adds the leaf to the flat buffers, computing what is still to be computed. Once, in the micro-batch's turn.</summary>
    /// <param name="finished">Told consecutive units by their places in the stage, the last first, once their part has been added.</param>
    public void Add(Action<Range>? finished = null)
    {
        using var guard = no_grad();
        foreach (var group in _groups)
        {
            using (NewDisposeScope())
            {
                foreach (var part in group.Parts)
                {
                    using (part) part.Add();
                }
            }

            finished?.Invoke(group.Units);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var part in Parts) part.Dispose();
    }

    private IEnumerable<LeafPart> Parts => _groups.SelectMany(group => group.Parts);
}
