using TorchSharp;

namespace Pipeline.Model.Units;

/// <summary>
/// The samples of one micro-batch. Owns its two tensors; the trainer or stage that asked for it disposes it after its backward.
/// </summary>
/// <param name="Step">Step, counted from 1; 0 in evaluation and generation.</param>
/// <param name="Index">Micro-batch of the step, from 0.</param>
/// <param name="Samples">Global sample numbers, one a row: they key the dropout.</param>
/// <param name="Tokens">[B, T] int64.</param>
/// <param name="Targets">[B, T] int64: the tokens shifted by one.</param>
public sealed record MicroBatch(long Step, int Index, long[] Samples, torch.Tensor Tokens, torch.Tensor Targets) : IDisposable
{
    /// <summary>Predicted tokens, B · T.</summary>
    public long TokenCount => Samples.Length * (Tokens.numel() / Samples.Length);

    /// <inheritdoc/>
    public void Dispose()
    {
        Tokens.Dispose();
        Targets.Dispose();
    }
}

/// <summary>Any worker can make any micro-batch: a pure function of its position.</summary>
public interface IBatchSource
{
    /// <summary>Micro-batches of a step.</summary>
    int MicroBatchCount { get; }

    /// <summary>The micro-batch of a training step on a device. The caller owns it.</summary>
    MicroBatch Training(long step, int index, torch.Device device);

    /// <summary>The index-th micro-batch of the held-out text on a device, or null past its end. The caller owns it.</summary>
    MicroBatch? Validation(int index, torch.Device device);
}
