using Pipeline.Model.Units;
using static TorchSharp.torch;

namespace Pipeline.Model.Training;

/// <summary>
/// One micro-batch between its forward and its backward: the graph of its units in segments, cut where units that recompute meet others.
/// Owns every segment's input leaf and output, and what its backward has deferred.
/// </summary>
public sealed class ForwardPass : IDisposable
{
    private readonly IReadOnlyList<PassSegment> _segments;

    internal ForwardPass(PassContext context, IReadOnlyList<PassSegment> segments)
    {
        Context = context;
        _segments = segments;
    }

    internal PassContext Context { get; }

    internal IReadOnlyList<PassSegment> Segments => _segments;

    /// <summary>The stage's output, with its graph in training mode. To send it, take <see cref="DetachedOutput"/>.</summary>
    public Tensor Output => _segments[^1].Output ?? throw new InvalidOperationException("The output was let go and not recomputed.");

    /// <summary>The output without its graph, sharing memory; owned by the caller.</summary>
    public Tensor DetachedOutput()
    {
        using var guard = no_grad();
        return Output.detach().DetachFromDisposeScope();
    }

    /// <summary>On the last stage: the loss summed over the micro-batch's tokens, whatever floating-point type the last unit gave it.</summary>
    public double LossSum()
    {
        if (Output.dtype == ScalarType.Float64) return Output.item<double>();
        using var guard = no_grad();
        using var wide = Output.to_type(ScalarType.Float64);
        return wide.item<double>();
    }

    /// <summary>Lets the output go where it will be recomputed: once it has been sent, or its loss read.</summary>
    public void ReleaseOutput()
    {
        if (_segments[^1].IsDropped) _segments[^1].Drop();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var segment in _segments) segment.Dispose();
        Context.Leaves.Dispose();
        Context.Dropped.Dispose();
    }
}

/// <summary>A run of consecutive units of one stage in one pass that keep their graph, or that all drop it.</summary>
/// <param name="units">Its units.</param>
/// <param name="input">Its input as a leaf; null where the first unit reads tokens.</param>
/// <param name="isDropped">Whether the forward ran without a graph.</param>
internal sealed class PassSegment(Range units, Tensor? input, bool isDropped) : IDisposable
{
    internal Range Units { get; } = units;

    internal Tensor? Input { get; } = input;

    /// <summary>Its output; null while it is dropped.</summary>
    internal Tensor? Output { get; private set; }

    /// <summary>Whether its forward has to run again before its backward.</summary>
    internal bool IsDropped { get; private set; } = isDropped;

    /// <summary>Takes the output of its forward.</summary>
    internal void Produced(Tensor output) => Output = output;

    /// <summary>Takes the output of its forward with the graph.</summary>
    internal void Restored(Tensor output)
    {
        Drop();
        Output = output;
        IsDropped = false;
    }

    internal void Drop()
    {
        Output?.Dispose();
        Output = null;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Input?.Dispose();
        Drop();
    }
}
