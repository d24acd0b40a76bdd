using Pipeline.Model.Layers;
using static TorchSharp.torch;

namespace Pipeline.Model.Units;

/// <summary>
/// One slice of a head that is cut over the vocabulary, <c>head.0</c>, <c>head.1</c>, …: the first norms; each multiplies with its rows of
/// the matrix and hands the hidden state on, with what the loss needs of its logits; the last gives the loss, or in prefill and decode the
/// logits of each row's last position. Together they are a <see cref="HeadUnit"/> up to rounding.
/// </summary>
/// <param name="settings">The model's shape; its head is not tied.</param>
/// <param name="index">Place among the slices, from 0.</param>
public sealed class HeadSliceUnit(ModelSettings settings, int index) : Unit(string.Create(System.Globalization.CultureInfo.InvariantCulture, $"head.{index}"))
{
    private const string Output = "output.weight";
    private readonly Normalization? _norm = index == 0 ? new(settings.Norm, settings.Width, settings.Bias, settings.NormEpsilon) : null;

    private readonly VocabularySlice _slice = new(settings.Width, First(settings, index), index == 0, index == settings.HeadSlices - 1);

    /// <inheritdoc/>
    public override IReadOnlyList<ParameterSpec> Parameters { get; } =
    [
        .. index == 0 ? new Normalization(settings.Norm, settings.Width, settings.Bias, settings.NormEpsilon).Parameters() : [],
        new ParameterSpec(Output, [TokenCount(settings, index), settings.Width], Initialization.Normal(settings.InitialDeviation)),
    ];

    /// <inheritdoc/>
    public override double Cost => UnitCost.Head(settings, TokenCount(settings, index));

    /// <inheritdoc/>
    public override double KeptElementsPerToken => (index == 0 ? 2.0 : 1.0) * settings.Width + TokenCount(settings, index);

    /// <inheritdoc/>
    public override Tensor Forward(Tensor input, UnitPass pass)
    {
        if (pass.Mode is PassMode.Train or PassMode.Eval)
            return pass.SlicedCrossEntropy(_norm?.Forward(input, pass) ?? input, Output, _slice);
        var front = _norm is null ? input : _norm.Forward(input.narrow(1, input.shape[1] - 1, 1), pass);
        var logits = pass.Linear(_slice.Hidden(front), Output);
        if (!_slice.IsLast) return cat([front, logits], -1);
        using var before = front.narrow(-1, settings.Width, front.shape[^1] - settings.Width);
        return cat([before, logits], -1).squeeze(1).to_type(ScalarType.Float32);
    }

    private static long First(ModelSettings settings, int index) => (long)settings.Vocabulary * index / settings.HeadSlices;

    private static long TokenCount(ModelSettings settings, int index) => First(settings, index + 1) - First(settings, index);
}
