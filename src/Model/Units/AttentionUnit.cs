using Pipeline.Model.Layers;
using Pipeline.Model.Numerics;
using static TorchSharp.torch;

namespace Pipeline.Model.Units;

/// <summary>
/// The attention half of a block, pre-norm and residual: x + dropout(attention(norm(x)) · Wo). Queries, keys and values come from one
/// product. Grouped-query attention shares each key-value head among several query heads.
/// </summary>
/// <param name="settings">The model's shape.</param>
/// <param name="layer">Number of the block.</param>
public sealed class AttentionUnit(ModelSettings settings, int layer) : Unit($"layers.{layer}.attention")
{
    private const string QueryKeyValue = "qkv.weight";
    private const string QueryKeyValueBias = "qkv.bias";
    private const string Output = "output.weight";
    private const string OutputBias = "output.bias";
    private readonly Normalization _norm = new(settings.Norm, settings.Width, settings.Bias, settings.NormEpsilon);

    /// <inheritdoc/>
    public override IReadOnlyList<ParameterSpec> Parameters { get; } = Specs(settings);

    /// <inheritdoc/>
    public override double Cost => UnitCost.Attention(settings);

    /// <inheritdoc/>
    public override double KeptElementsPerToken => 6.0 * settings.Width + 4.0 * settings.KeyValueHeads * settings.HeadWidth;

    /// <inheritdoc/>
    public override Tensor Forward(Tensor input, UnitPass pass)
    {
        var normed_BTD = _norm.Forward(input, pass);
        var mixed_BTD = Attend(pass.Linear(normed_BTD, QueryKeyValue, settings.Bias ? QueryKeyValueBias : null), pass);
        var projected_BTD = pass.Linear(mixed_BTD, Output, settings.Bias ? OutputBias : null);
        return input.Plus(pass.Dropout(projected_BTD, settings.Dropout, place: 0));
    }

    private Tensor Attend(Tensor qkv, UnitPass pass)
    {
        var (batch, time, headWidth) = (qkv.shape[0], qkv.shape[1], settings.HeadWidth);
        var parts = qkv.split([settings.Width, settings.KeyValueHeads * headWidth, settings.KeyValueHeads * headWidth], -1);
        var query_BTHd = parts[0].view(batch, time, settings.Heads, headWidth);
        var key_BTHd = parts[1].view(batch, time, settings.KeyValueHeads, headWidth);
        var value_BTHd = parts[2].view(batch, time, settings.KeyValueHeads, headWidth);
        if (settings.Positions == PositionKind.Rope)
        {
            var start = pass.Session?.Position ?? 0;
            query_BTHd = RotaryEmbedding.Rotate(query_BTHd, start, settings.RopeBase);
            key_BTHd = RotaryEmbedding.Rotate(key_BTHd, start, settings.RopeBase);
        }

        var mixed_BHTd = Mix(query_BTHd.transpose(1, 2), key_BTHd.transpose(1, 2), value_BTHd.transpose(1, 2), pass);
        return mixed_BHTd.transpose(1, 2).reshape(batch, time, settings.Width);
    }

    private Tensor Mix(Tensor query, Tensor key, Tensor value, UnitPass pass)
    {
        if (pass.Session is not { } session) return CausalAttention.Causal(query, Shared(key), Shared(value), pass.Tracks, pass.Faults, pass.Dropped);
        key = Extended(session, "key", key);
        value = Extended(session, "value", value);
        return CausalAttention.ToHistory(query, Shared(key), Shared(value));
    }

    private Tensor Extended(SessionState session, string name, Tensor newest)
    {
        var former = session[layer, name];
        var all = former is null ? newest.contiguous() : cat([former, newest], 2);
        session.Put(layer, name, all.alias());
        return all;
    }

    private Tensor Shared(Tensor heads) => settings.KeyValueHeads == settings.Heads
        ? heads
        : heads.repeat_interleave(settings.Heads / settings.KeyValueHeads, 1);

    private static List<ParameterSpec> Specs(ModelSettings settings)
    {
        var width = settings.Width;
        var wide = width + 2L * settings.KeyValueHeads * settings.HeadWidth;
        var residual = settings.InitialDeviation / Math.Sqrt(2.0 * settings.Layers);
        List<ParameterSpec> specs =
        [
            .. new Normalization(settings.Norm, width, settings.Bias, settings.NormEpsilon).Parameters(),
            new(QueryKeyValue, [wide, width], Initialization.Normal(settings.InitialDeviation)),
            new(Output, [width, width], Initialization.Normal(residual)),
        ];
        if (settings.Bias)
        {
            specs.Add(new ParameterSpec(QueryKeyValueBias, [wide], Initialization.Zeros));
            specs.Add(new ParameterSpec(OutputBias, [width], Initialization.Zeros));
        }

        return specs;
    }
}
