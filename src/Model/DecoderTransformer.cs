using Pipeline.Model.Units;

namespace Pipeline.Model;

/// <summary>A decoder-only transformer as a chain of units: embedding, two halves a block, head, which may be cut over the vocabulary.</summary>
public static class DecoderTransformer
{
    /// <summary>The units of a model in order: embedding, 2 · layers, and one or more of the head.</summary>
    /// <exception cref="ArgumentException">The settings contradict themselves; the message lists every fault.</exception>
    public static IReadOnlyList<Unit> Units(ModelSettings settings)
    {
        var faults = settings.Faults();
        if (faults.Count > 0) throw new ArgumentException(string.Join(Environment.NewLine, faults), nameof(settings));
        List<Unit> units = [new EmbeddingUnit(settings)];
        for (var layer = 0; layer < settings.Layers; layer++)
        {
            units.Add(new AttentionUnit(settings, layer));
            units.Add(new FeedForwardUnit(settings, layer));
        }

        if (settings.HeadSlices == 1) units.Add(new HeadUnit(settings));
        else units.AddRange(Enumerable.Range(0, settings.HeadSlices).Select(slice => new HeadSliceUnit(settings, slice)));
        return units;
    }

    /// <summary>How many units <see cref="Units"/> has.</summary>
    public static int UnitCount(ModelSettings settings) => 1 + (2 * settings.Layers) + settings.HeadSlices;

    /// <summary>Parameters of a chain of units, a tied one counted once.</summary>
    public static long ParameterCount(IEnumerable<Unit> units) =>
        units.SelectMany(unit => unit.Parameters).Where(spec => spec.TiedTo is null).Sum(spec => spec.ElementCount);

    /// <summary>
    /// Floating-point operations of a training step per token: 6 for each parameter used in a matrix product (look-ups are none) and
    /// 6 · L · T · D for the causal half of attention.
    /// </summary>
    public static double FlopsPerToken(ModelSettings settings)
    {
        double width = settings.Width;
        var block = width * (width + 2.0 * settings.KeyValueHeads * settings.HeadWidth) + width * width
            + (settings.Activation == ActivationKind.SwiGlu ? 3 : 2) * width * settings.HiddenWidth;
        var parameters = settings.Layers * block + (double)settings.Vocabulary * width;
        return 6 * parameters + 6.0 * settings.Layers * settings.Context * width;
    }
}
