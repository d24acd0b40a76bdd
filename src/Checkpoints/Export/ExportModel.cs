namespace Pipeline.Checkpoints.Export;

/// <summary>The shape of a model, as far as an export needs it; taken from the run's configuration.</summary>
/// <param name="Layers">Blocks.</param>
/// <param name="Width">Width of the residual stream.</param>
/// <param name="Heads">Query heads.</param>
/// <param name="KeyValueHeads">Key-value heads.</param>
/// <param name="HiddenWidth">Hidden width of the MLP.</param>
/// <param name="Context">Tokens of a sample.</param>
/// <param name="Vocabulary">Tokens of the vocabulary.</param>
public sealed record ExportModel(int Layers, int Width, int Heads, int KeyValueHeads, int HiddenWidth, int Context, int Vocabulary)
{
    /// <summary>Whether the head multiplies by the embedding's matrix.</summary>
    public required bool IsTied { get; init; }

    /// <summary>Units that the head is cut into.</summary>
    public int HeadSlices { get; init; } = 1;

    /// <summary>Whether products and layer norms have a bias.</summary>
    public required bool HasBias { get; init; }

    /// <summary>RMSNorm rather than layer norm.</summary>
    public required bool HasRmsNorm { get; init; }

    /// <summary>Rotary positions rather than learned ones.</summary>
    public required bool HasRope { get; init; }

    /// <summary>SwiGLU rather than GELU.</summary>
    public required bool HasSwiGlu { get; init; }

    /// <summary>Added to the variance.</summary>
    public required double NormEpsilon { get; init; }

    /// <summary>Base of the rotary frequencies.</summary>
    public required double RopeBase { get; init; }

    /// <summary>Name of the unit with the norm before the head.</summary>
    internal string HeadName => HeadSlices == 1 ? "head" : "head.0";

    /// <summary>Width of a head.</summary>
    public int HeadWidth => Width / Heads;

    /// <summary>Width of all key heads together.</summary>
    public int KeyWidth => KeyValueHeads * HeadWidth;
}
