using Pipeline.Model.Layers;
using Pipeline.Model.Numerics;
using static TorchSharp.torch;

namespace Pipeline.Model.Units;

/// <summary>
/// Where the functions of one micro-batch's graph leave the gradients of their parameters during its backward: added to the flat buffer
/// at once, or, while it defers, kept as parts in the same order. Autograd's own leaves follow them, in the order of the parameters, so
/// that the order of a micro-batch's additions is the same in both ways. Owns the parts until <see cref="Take"/>.
/// </summary>
internal sealed class LeafSink : IDisposable
{
    private List<LeafPart>? _parts;
    private List<LeafGroup> _groups = [];

    /// <summary>From now on parts are kept instead of added.</summary>
    internal void Defer() => _parts = [];

    /// <summary>Takes one contribution; the operands stay the caller's.</summary>
    internal void Put(ParameterState parameter, WeightGradientKernel kernel, Tensor gradient, Tensor operand)
    {
        if (_parts is not null)
        {
            _parts.Add(new LeafPart(parameter, kernel, gradient, operand));
            return;
        }

        using var value = kernel(parameter, gradient, operand);
        parameter.Gradient.AddInPlace(value);
    }

    /// <summary>Takes what autograd left in a parameter's leaf, if anything, and empties the leaf.</summary>
    internal void Collect(ParameterState parameter)
    {
        if (parameter.TakeLeaf() is not { } leaf) return;
        var part = new LeafPart(parameter, leaf);
        if (_parts is not null)
        {
            _parts.Add(part);
            return;
        }

        using (part) part.Add();
    }

    /// <summary>All gradients of some units have been put: what is kept of them belongs together.</summary>
    internal void Finish(Range units)
    {
        if (_parts is null) return;
        _groups.Add(new LeafGroup(units, _parts));
        _parts = [];
    }

    /// <summary>Hands over the parts kept since <see cref="Defer"/>, those of the last units first.</summary>
    internal IReadOnlyList<LeafGroup> Take()
    {
        List<LeafGroup> groups = _parts is { Count: > 0 } unfinished ? [.. _groups, new LeafGroup(default, unfinished)] : _groups;
        (_parts, _groups) = (null, []);
        return groups;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var part in Take().SelectMany(group => group.Parts)) part.Dispose();
    }
}

/// <summary>What a micro-batch contributes to the gradients of consecutive units of a stage.</summary>
/// <param name="Units">Their places in the stage.</param>
/// <param name="Parts">In the order in which they are to be added. Owned by who holds the group.</param>
internal sealed record LeafGroup(Range Units, IReadOnlyList<LeafPart> Parts);
