using Pipeline.Model.Layers;
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
        parameter.Gradient.add_(value);
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

    /// <summary>Hands over the parts kept since <see cref="Defer"/>.</summary>
    internal IReadOnlyList<LeafPart> Take()
    {
        var parts = _parts ?? [];
        _parts = null;
        return parts;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var part in Take()) part.Dispose();
    }
}
