using Pipeline.Model.Units;
using static TorchSharp.torch;

namespace OwnUnits;

/// <summary>Windows of a small text as micro-batches: a pure function of the position, so that any stage can make any of them.</summary>
internal sealed class CharacterBatches(int microBatchCount, int microBatchSize, int context) : IBatchSource
{
    private const string Text = """
        In the morning the miller opens the gate and the water comes down to the wheel.
        The wheel turns the shaft, the shaft turns the stone, and the stone grinds the corn.
        What the stone has ground falls through the sieve, and what the sieve lets through is flour.
        The baker takes the flour, adds water and salt, and lets the dough rest until noon.
        When the oven is hot the bread goes in, and when the bread is brown the bread comes out.
        In the evening the children carry the bread down the hill to the houses by the river,
        and the river, which has turned the wheel all day, goes on to the sea in the dark.
        At night the gate is shut, the wheel is still, and the miller sleeps until the morning.

        """;

    private static readonly string Alphabet = string.Concat(Text.Distinct().Order());
    private static readonly long[] Characters = [.. Text.Select(character => (long)Alphabet.IndexOf(character, StringComparison.Ordinal))];

    /// <summary>Different characters of the text.</summary>
    public int VocabularySize => Alphabet.Length;

    /// <inheritdoc/>
    public int MicroBatchCount => microBatchCount;

    /// <inheritdoc/>
    public MicroBatch Training(long step, int index, Device device)
    {
        var first = ((step - 1) * microBatchCount + index) * microBatchSize;
        long[] samples = [.. Enumerable.Range(0, microBatchSize).Select(row => first + row)];
        return new MicroBatch(step, index, samples, Windows(samples, 0, device), Windows(samples, 1, device));
    }

    /// <inheritdoc/>
    public MicroBatch? Validation(int index, Device device) => null;

    // A stride without a common factor with the text's length visits every place.
    private Tensor Windows(long[] samples, int shift, Device device)
    {
        var windows = samples.SelectMany(sample => Enumerable.Range(0, context).Select(time => Characters[(sample * 101 + time + shift) % Characters.Length]));
        return tensor([.. windows], [samples.Length, context], device: device);
    }
}
