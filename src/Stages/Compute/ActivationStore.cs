using Pipeline.Model.Training;
using Pipeline.Model.Units;
using TorchSharp;

namespace Pipeline.Stages;

/// <summary>
/// What lies between the forward and the backward of each micro-batch in flight: the samples, the stage's input, the graph.
/// Owns all of it from the forward to <see cref="Held.Dispose"/> after the backward; empty at the end of every step.
/// </summary>
internal sealed class ActivationStore : IDisposable
{
    private readonly Dictionary<(int Stage, int MicroBatch), Held> _held = [];

    internal int Count => _held.Count;

    /// <summary>Takes over samples and input before the forward runs, so that nothing is lost if it throws.</summary>
    /// <param name="stage">Stage.</param>
    /// <param name="place">The micro-batch's place among those of the replica.</param>
    /// <param name="microBatch">Samples.</param>
    /// <param name="input">The stage's input; null on the first.</param>
    internal Held Open(int stage, int place, MicroBatch microBatch, torch.Tensor? input)
    {
        var held = new Held(microBatch, input);
        if (_held.TryAdd((stage, place), held)) return held;
        held.Dispose();
        throw new InvalidOperationException($"Stage {stage} ran the forward of micro-batch {place} twice.");
    }

    /// <summary>A micro-batch's activations, which stay here.</summary>
    internal Held this[int stage, int microBatch] => _held.TryGetValue((stage, microBatch), out var held) ? held : throw Missing(stage, microBatch);

    /// <summary>Gives a micro-batch's activations to its backward, which disposes them.</summary>
    internal Held Take(int stage, int microBatch) => _held.Remove((stage, microBatch), out var held) ? held : throw Missing(stage, microBatch);

    /// <summary>Asserts that every forward had its backward.</summary>
    internal void ThrowUnlessEmpty()
    {
        if (_held.Count > 0) throw new InvalidOperationException($"{_held.Count} activations are left at the end of the step.");
    }

    /// <summary>Frees everything: the step's attempt is given up.</summary>
    internal void Clear()
    {
        foreach (var held in _held.Values) held.Dispose();
        _held.Clear();
    }

    /// <inheritdoc/>
    public void Dispose() => Clear();

    private static InvalidOperationException Missing(int stage, int microBatch) =>
        new($"Stage {stage} has no stored activation of micro-batch {microBatch}.");

    /// <summary>One micro-batch in flight.</summary>
    internal sealed class Held(MicroBatch microBatch, torch.Tensor? input) : IDisposable
    {
        internal MicroBatch MicroBatch { get; } = microBatch;

        internal torch.Tensor? Input { get; } = input;

        internal ForwardPass? Pass { get; set; }

        /// <inheritdoc/>
        public void Dispose()
        {
            Pass?.Dispose();
            Input?.Dispose();
            MicroBatch.Dispose();
        }
    }
}
