using System.Runtime.InteropServices;
using Pipeline.Data;
using Pipeline.Model.Units;
using TorchSharp;
using static TorchSharp.torch;

namespace Pipeline.Stages;

/// <summary>
/// Micro-batches out of token files: position → samples → tensors. Holds no state; any rank makes any micro-batch. Owns nothing: token
/// files belong to whoever opened them.
/// </summary>
public sealed class SampleBatchSource : IBatchSource
{
    private readonly SampleSource _training;
    private readonly ValidationWindows? _heldOut;
    private readonly int _microBatchSize;

    /// <param name="training">Samples by position.</param>
    /// <param name="heldOut">Windows of the held-out text; null where none is held out.</param>
    /// <param name="microBatchSize">Samples of a micro-batch, B.</param>
    /// <param name="microBatchCount">Micro-batches of a step, m.</param>
    public SampleBatchSource(SampleSource training, ValidationWindows? heldOut, int microBatchSize, int microBatchCount)
    {
        _training = training;
        _heldOut = heldOut;
        _microBatchSize = microBatchSize;
        MicroBatchCount = microBatchCount;
    }

    /// <inheritdoc/>
    public int MicroBatchCount { get; }

    private int SamplesPerStep => _microBatchSize * MicroBatchCount;

    private int WindowLength => _training.ContextLength + 1;

    /// <inheritdoc/>
    public MicroBatch Training(long step, int index, Device device)
    {
        var first = index * _microBatchSize;
        var windows = new long[_microBatchSize * WindowLength];
        // Steps count from 1, samples from 0.
        _training.Read(step - 1, first, SamplesPerStep, windows.AsSpan());
        var samples = new long[_microBatchSize];
        for (var row = 0; row < samples.Length; row++) samples[row] = SampleIndex.GlobalSample(step - 1, first + row, SamplesPerStep);
        return Batch(step, index, samples, windows, device);
    }

    /// <inheritdoc/>
    public MicroBatch? Validation(int index, Device device)
    {
        var first = (long)index * _microBatchSize;
        if (_heldOut is null || first >= _heldOut.Count) return null;
        var samples = new long[(int)Math.Min(_microBatchSize, _heldOut.Count - first)];
        var windows = new long[samples.Length * WindowLength];
        for (var row = 0; row < samples.Length; row++)
        {
            samples[row] = first + row;
            _heldOut.Read(first + row, windows.AsSpan(row * WindowLength, WindowLength));
        }

        return Batch(0, index, samples, windows, device);
    }

    private MicroBatch Batch(long step, int index, long[] samples, long[] windows, Device device) =>
        new(step, index, samples, Columns(windows, 0, device), Columns(windows, 1, device));

    /// <summary>Each row's tokens from a column on, one less than the window holds: [B, T] int64.</summary>
    private Tensor Columns(long[] windows, int start, Device device)
    {
        using var guard = no_grad();
        var width = _training.ContextLength;
        var rows = windows.Length / WindowLength;
        var onHost = empty(rows, width, ScalarType.Int64, CPU).DetachFromDisposeScope();
        var target = MemoryMarshal.Cast<byte, long>(onHost.bytes);
        for (var row = 0; row < rows; row++) windows.AsSpan(row * WindowLength + start, width).CopyTo(target[(row * width)..]);
        if (device.type == DeviceType.CPU) return onHost;
        using (onHost) return onHost.to(device).DetachFromDisposeScope();
    }
}
