namespace Pipeline.Data;

/// <summary>A sample's place in the run: the how-manieth pass over the text, and the how-manieth sample of it.</summary>
public readonly record struct SamplePosition(long Epoch, long Index);

/// <summary>
/// Which tokens are a sample, as pure functions of the position: any worker can make any batch, and a resumed run needs no state.
/// A sample is a window of <see cref="ContextLength"/> + 1 tokens; neighbouring windows share one token, the last target of the one
/// and the first input of the next. Each epoch visits every window of its grid once, in an order of its own, and moves the grid by
/// less than a window or two, so that later epochs cut the text at other places.
/// </summary>
public sealed class SampleIndex
{
    private readonly long _slack;

    /// <exception cref="DataException">The tokens are fewer than a sample.</exception>
    public SampleIndex(long tokenCount, int contextLength)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(contextLength);
        if (tokenCount <= contextLength)
        {
            throw new DataException($"The corpus is shorter than a sample: {tokenCount} tokens, {contextLength + 1} are needed for a context of "
                + $"{contextLength}. Give more text or lower pipeline.model.context.");
        }
        ContextLength = contextLength;
        // One window less than would fit leaves the grid room to move; a text of one window has only what is left over.
        SamplesPerEpoch = Math.Max(1, ((tokenCount - 1) / contextLength) - 1);
        _slack = tokenCount - 1 - (SamplesPerEpoch * contextLength);
    }

    public int ContextLength { get; }

    public long SamplesPerEpoch { get; }

    /// <summary>The offset of the first token of a sample.</summary>
    /// <param name="seed">The run's seed of data.</param>
    /// <param name="epoch">0 and up.</param>
    /// <param name="index">0 to <see cref="SamplesPerEpoch"/> − 1.</param>
    public long SampleAt(ulong seed, long epoch, long index)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(epoch);
        ulong key = Mixing.Combine(seed, (ulong)epoch);
        long window = new IndexPermutation(key, SamplesPerEpoch)[index];
        long gridOffset = (long)(Mixing.Mix(key) % (ulong)(_slack + 1));
        return gridOffset + (window * ContextLength);
    }

    /// <summary>The epoch and index of a sample of a step; passing the end of an epoch begins the next, within a step if need be.</summary>
    public SamplePosition PositionOf(long step, int position, int samplesPerStep)
    {
        (long epoch, long index) = Math.DivRem(GlobalSample(step, position, samplesPerStep), SamplesPerEpoch);
        return new SamplePosition(epoch, index);
    }

    /// <summary>The number of a sample in the whole run: it keys everything random about it.</summary>
    /// <param name="step">0 and up.</param>
    /// <param name="position">0 to <paramref name="samplesPerStep"/> − 1.</param>
    /// <param name="samplesPerStep">Samples of a step over all micro-batches and replicas.</param>
    public static long GlobalSample(long step, int position, int samplesPerStep)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(step);
        ArgumentOutOfRangeException.ThrowIfNegative(position);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(position, samplesPerStep);
        return checked((step * samplesPerStep) + position);
    }
}
