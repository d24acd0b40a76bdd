using Pipeline.Model.Layers;
using Pipeline.Model.Numerics;
using static TorchSharp.torch;

namespace Pipeline.Model.Units;

/// <summary>
/// What a unit sees during one forward: its parameters, the mode, the micro-batch, counter-based random state and the session.
/// Valid for that call only; owns nothing.
/// </summary>
public sealed class UnitPass
{
    private readonly UnitState _state;
    private readonly PassContext _context;

    internal UnitPass(UnitState state, PassContext context)
    {
        _state = state;
        _context = context;
    }

    /// <summary>What the pass is for.</summary>
    public PassMode Mode => _context.Mode;

    /// <summary>Tokens, targets and sample numbers.</summary>
    public MicroBatch MicroBatch => _context.MicroBatch;

    /// <summary>Type of activations: fp32, bf16 or fp64.</summary>
    public ScalarType ComputeType => _state.Compute.dtype;

    /// <summary>Where tensors are to be made.</summary>
    public Device Device => _state.Master.device;

    /// <summary>Keys and values of earlier positions in prefill and decode; null otherwise.</summary>
    public SessionState? Session => _context.Session;

    /// <summary>Place of the unit in the whole model.</summary>
    public int UnitIndex => _state.Index;

    /// <summary>Whether operations leave a graph for a backward.</summary>
    internal bool Tracks => _context.Tracks;

    /// <summary>Where functions leave what they do not keep for their backward; null if they are to keep it.</summary>
    internal DroppedSlots? Dropped => Recomputation == Recomputation.Selective ? _context.Dropped : null;

    /// <summary>What the unit drops in this pass.</summary>
    internal Recomputation Recomputation { get; init; }

    /// <summary>Where functions leave what their backward threw.</summary>
    internal BackwardFaults Faults => _context.Faults;

    /// <summary>A parameter as an autograd leaf: any TorchSharp operation may use it.</summary>
    public Tensor Parameter(string name) => _state[name].Leaf;

    /// <summary>x · weightᵀ (+ bias) for x [..., I] and weight [O, I]; the weight's gradient goes straight into the flat buffer.</summary>
    public Tensor Linear(Tensor input, string weight, string? bias = null)
    {
        var product = _context.Tracks
            ? LinearFunction.Apply(input, _state[weight], _context.Leaves, _context.Faults)
            : Products.Linear(input, _state[weight].Weight);
        return bias is null ? product : product.Plus(Parameter(bias).to_type(product.dtype));
    }

    /// <summary>Rows of a table [V, D] for tokens [B, T]: [B, T, D].</summary>
    public Tensor Embedding(string table)
    {
        var state = _state[table];
        return _context.Tracks
            ? EmbeddingFunction.Apply(MicroBatch.Tokens, state, _context.Leaves, _context.Faults)
            : EmbeddingFunction.Rows(MicroBatch.Tokens, state.Weight);
    }

    /// <summary>GELU in its tanh form.</summary>
    public Tensor Gelu(Tensor input) => GeluFunction.Apply(input, _context.Tracks, _context.Faults);

    /// <summary>The loss of a head: cross-entropy of hidden · weightᵀ against the targets, summed over tokens, fp64 scalar.</summary>
    /// <param name="hidden">[B, T, D].</param>
    /// <param name="weight">Name of the matrix [V, D].</param>
    public Tensor LinearCrossEntropy(Tensor hidden, string weight) =>
        LinearCrossEntropyFunction.Apply(hidden, _state[weight], MicroBatch.Targets, _context.Tracks, _context.Leaves, _context.Faults);

    /// <summary>A slice of a head that is cut over the vocabulary: what the next slice reads, or from the last one the loss as above.</summary>
    /// <param name="input">[B, T, D], or what the former slice gave.</param>
    /// <param name="weight">Name of the matrix [V', D].</param>
    /// <param name="slice">Which slice.</param>
    internal Tensor SlicedCrossEntropy(Tensor input, string weight, VocabularySlice slice) =>
        VocabularySliceFunction.Apply(input, _state[weight], slice, MicroBatch.Targets, _context.Tracks, _context.Leaves, _context.Faults);

    /// <summary>
    /// Drops elements with the run's probability and scales the rest, in training only. Keyed by (seed, global sample, unit, place):
    /// the same elements fall whatever the layout of the run.
    /// </summary>
    /// <param name="input">[B, ...], one row a sample.</param>
    /// <param name="probability">Chance of an element to be dropped.</param>
    /// <param name="place">Number of the dropout inside the unit.</param>
    public Tensor Dropout(Tensor input, double probability, int place) => Mode == PassMode.Train && probability > 0
        ? DropoutMask.Apply(input, probability, _context.Seed, MicroBatch.Samples, UnitIndex, place)
        : input;
}

/// <summary>What all units of one pass share.</summary>
internal sealed record PassContext(PassMode Mode, MicroBatch MicroBatch, ulong Seed, SessionState? Session, BackwardFaults Faults)
{
    /// <summary>Whether operations leave a graph for a backward.</summary>
    internal bool Tracks { get; init; } = Mode == PassMode.Train;

    /// <summary>Where the backward leaves the parameters' gradients. Owned by the pass.</summary>
    internal LeafSink Leaves { get; } = new();

    /// <summary>What functions dropped and compute again. Owned by the pass.</summary>
    internal DroppedSlots Dropped { get; } = new();

    /// <summary>What each unit drops; null for nothing.</summary>
    internal IReadOnlyList<Recomputation>? Recompute { get; init; }
}

/// <summary>
/// A managed exception inside a backward would abort the process, so functions leave it here and the stage rethrows it afterwards.
/// </summary>
internal sealed class BackwardFaults
{
    private Exception? _first;

    internal void Keep(Exception fault) => _first ??= fault;

    internal void ThrowIfAny()
    {
        if (_first is not { } fault) return;
        _first = null;
        throw new InvalidOperationException($"Backward failed: {fault.Message}", fault);
    }
}
