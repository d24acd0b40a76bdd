using Pipeline.Model.Units;
using static TorchSharp.torch;

namespace Pipeline.Model.Training;

/// <summary>
/// Runs consecutive units forward and backward. Units that recompute leave no graph in the forward, only their input; the others' graph
/// is cut beside them, and where somebody wants to hear of finished gradients, so that every segment goes backward by itself, from the
/// last to the first. Cutting changes no bit: each cut has one producer and one consumer.
/// </summary>
internal sealed class UnitChain(IReadOnlyList<UnitState> units, BackwardFaults faults)
{
    /// <summary>Units before which the graph is cut, beside those where recomputation begins or ends.</summary>
    internal IReadOnlySet<int> Cuts { get; set; } = new HashSet<int>();

    /// <summary>Whether what is dropped is cut there, too: each cut keeps an input.</summary>
    internal bool CutsDropped { get; set; }

    /// <summary>Runs all units; what the pass holds is the caller's.</summary>
    /// <param name="context">What all units share.</param>
    /// <param name="input">The first unit's input; null where it reads tokens.</param>
    /// <param name="recompute">One entry a unit; null for none.</param>
    internal ForwardPass Forward(PassContext context, Tensor? input, IReadOnlyList<Recomputation>? recompute)
    {
        var trains = context.Mode == PassMode.Train;
        if (trains) context = context with { Recompute = recompute };
        using var scope = NewDisposeScope();
        List<PassSegment> segments = [];
        var hidden = input;
        foreach (var (range, drops) in Runs(context.Recompute))
        {
            var leaf = hidden?.detach();
            if (trains) leaf?.requires_grad_(true);
            using var gradients = set_grad_enabled(trains && !drops);
            hidden = Run(range, leaf, context with { Tracks = trains && !drops });
            var segment = new PassSegment(range, trains ? leaf : null, drops);
            segment.Produced(hidden);
            segments.Add(segment);
        }

        // Kept only now, so that a forward that throws leaves nothing behind.
        foreach (var segment in segments)
        {
            segment.Input?.DetachFromDisposeScope();
            if (segment.IsDropped && segment != segments[^1]) segment.Drop();
            else segment.Output!.DetachFromDisposeScope();
        }

        return new ForwardPass(context, segments);
    }

    /// <summary>Runs the dropped segments forward again, with their graph, and computes what functions dropped in the others.</summary>
    internal void Recompute(ForwardPass pass)
    {
        pass.Context.Dropped.Restore();
        using var gradients = enable_grad();
        foreach (var segment in pass.Segments.Where(segment => segment.IsDropped))
        {
            using var scope = NewDisposeScope();
            segment.Restored(Run(segment.Units, segment.Input, pass.Context with { Tracks = true }).DetachFromDisposeScope());
        }
    }

    /// <summary>Runs all segments backward; parameters' gradients go to the pass's sink.</summary>
    /// <param name="pass">The pass.</param>
    /// <param name="outputGradient">Gradient of its output; null where the output is the loss.</param>
    /// <param name="finished">Told the units of each segment, the last first, once their gradients are in the sink.</param>
    /// <returns>Gradient of the input, owned by the caller; null where there is none.</returns>
    internal Tensor? Backward(ForwardPass pass, Tensor? outputGradient, Action<Range>? finished = null)
    {
        using var gradients = enable_grad();
        using var scope = NewDisposeScope();
        var gradient = outputGradient;
        PassSegment? behind = null;
        foreach (var segment in pass.Segments.Reverse())
        {
            if (segment.IsDropped) throw new InvalidOperationException("The backward came before the recomputation of what the forward dropped.");
            if (gradient is null) segment.Output!.backward();
            else segment.Output!.backward([gradient]);
            faults.ThrowIfAny();
            // What the segment behind handed on is used up; with many segments it would pile up.
            if (behind is { Input: { } boundary })
            {
                boundary.grad = null;
                gradient!.Dispose();
            }

            behind = segment;
            gradient = segment.Input?.grad;
            using (no_grad()) Collect(segment.Units, pass.Context.Leaves);
            finished?.Invoke(segment.Units);
        }

        return gradient?.DetachFromDisposeScope();
    }

    private void Collect(Range range, LeafSink leaves)
    {
        for (var index = range.Start.Value; index < range.End.Value; index++)
        {
            foreach (var parameter in units[index].Parameters) leaves.Collect(parameter);
        }

        leaves.Finish(range);
    }

    private Tensor Run(Range range, Tensor? input, PassContext context)
    {
        var hidden = input!;
        for (var index = range.Start.Value; index < range.End.Value; index++)
            hidden = units[index].Unit.Forward(hidden, new UnitPass(units[index], context) { Recomputation = context.Recompute?[index] ?? Recomputation.None });
        return hidden;
    }

    private IEnumerable<(Range Units, bool Drops)> Runs(IReadOnlyList<Recomputation>? recompute)
    {
        var start = 0;
        for (var index = 1; index <= units.Count; index++)
        {
            if (index < units.Count && Drops(index) == Drops(start) && ((Drops(index) && !CutsDropped) || !Cuts.Contains(index))) continue;
            yield return (start..index, Drops(start));
            start = index;
        }

        bool Drops(int unit) => recompute?[unit] == Recomputation.Full;
    }
}
