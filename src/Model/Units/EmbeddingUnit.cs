using Pipeline.Model.Numerics;
using static TorchSharp.torch;

namespace Pipeline.Model.Units;

/// <summary>Token embedding, learned positions where the model has them, and the first dropout: tokens [B, T] → [B, T, D].</summary>
/// <param name="settings">The model's shape.</param>
public sealed class EmbeddingUnit(ModelSettings settings) : Unit(UnitName)
{
    /// <summary>Its name in the model.</summary>
    public const string UnitName = "embedding";

    /// <summary>Name of the token table inside the unit.</summary>
    public const string Table = "tokens.weight";
    private const string Positions = "positions.weight";

    /// <inheritdoc/>
    public override IReadOnlyList<ParameterSpec> Parameters { get; } = Specs(settings);

    /// <inheritdoc/>
    public override double Cost => UnitCost.Embedding(settings);

    /// <inheritdoc/>
    public override double KeptElementsPerToken => settings.Width;

    /// <inheritdoc/>
    public override Tensor Forward(Tensor input, UnitPass pass)
    {
        var hidden_BTD = pass.Embedding(Table);
        if (settings.Positions == PositionKind.Learned)
        {
            var start = pass.Session?.Position ?? 0;
            hidden_BTD = hidden_BTD.Plus(pass.Parameter(Positions).narrow(0, start, hidden_BTD.shape[1]));
        }

        return pass.Dropout(hidden_BTD, settings.Dropout, place: 0);
    }

    private static List<ParameterSpec> Specs(ModelSettings settings)
    {
        var normal = Initialization.Normal(settings.InitialDeviation);
        List<ParameterSpec> specs = [new(Table, [settings.Vocabulary, settings.Width], normal)];
        if (settings.Positions == PositionKind.Learned)
            specs.Add(new ParameterSpec(Positions, [settings.Context, settings.Width], normal));
        return specs;
    }
}
