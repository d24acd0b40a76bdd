namespace Pipeline.Model;

/// <summary>How activations are normalised before each half of a block.</summary>
public enum NormKind
{
    /// <summary>Layer normalisation (Ba et al. 2016): mean and variance over the width.</summary>
    Layer,

    /// <summary>Root-mean-square normalisation (Zhang and Sennrich 2019): no mean, no bias.</summary>
    Rms,
}

/// <summary>How positions enter the model.</summary>
public enum PositionKind
{
    /// <summary>A learned vector for each position, added to the token's embedding.</summary>
    Learned,

    /// <summary>Rotary embedding of queries and keys (Su et al. 2021), half-split layout.</summary>
    Rope,
}

/// <summary>The non-linearity of a block's MLP half.</summary>
public enum ActivationKind
{
    /// <summary>Two products with GELU (tanh form) between them.</summary>
    Gelu,

    /// <summary>Three products, SiLU-gated (Shazeer 2020).</summary>
    SwiGlu,
}

/// <summary>The arithmetic that a run computes in; master weights, gradients and moments are fp32 in the first two.</summary>
public enum Precision
{
    /// <summary>Everything in fp32.</summary>
    Fp32,

    /// <summary>Products in bfloat16 from bf16 copies of fp32 master weights; gradients accumulate in fp32.</summary>
    Bf16,

    /// <summary>Everything in fp64: for gradient checks on tiny models only.</summary>
    Fp64,
}

/// <summary>
/// The shape of a decoder-only transformer. A value type of choices, not a model: <see cref="DecoderTransformer"/> turns it into units.
/// </summary>
public sealed record ModelSettings
{
    /// <summary>Number of blocks, each an attention half and an MLP half.</summary>
    public required int Layers { get; init; }

    /// <summary>Width of the residual stream, D.</summary>
    public required int Width { get; init; }

    /// <summary>Query heads, H; divides the width.</summary>
    public required int Heads { get; init; }

    /// <summary>Key-value heads; divides <see cref="Heads"/>. Fewer than heads is grouped-query attention (Ainslie et al. 2023).</summary>
    public required int KeyValueHeads { get; init; }

    /// <summary>Tokens of a sample, T.</summary>
    public required int Context { get; init; }

    /// <summary>Tokens of the vocabulary, V.</summary>
    public required int Vocabulary { get; init; }

    /// <summary>Whether the head's matrix is the embedding's.</summary>
    public bool Tied { get; init; } = true;

    /// <summary>
    /// Units that the head is cut into, over the vocabulary, so that a heavy one can lie on several stages. Part of what is computed: another
    /// number rounds differently, as another width would.
    /// </summary>
    public int HeadSlices { get; init; } = 1;

    /// <summary>Probability of dropping an element, after the embedding and at the end of each residual branch.</summary>
    public double Dropout { get; init; }

    /// <summary>Normalisation before each half block and before the head.</summary>
    public NormKind Norm { get; init; } = NormKind.Layer;

    /// <summary>Position encoding.</summary>
    public PositionKind Positions { get; init; } = PositionKind.Learned;

    /// <summary>MLP non-linearity.</summary>
    public ActivationKind Activation { get; init; } = ActivationKind.Gelu;

    /// <summary>Whether products and layer norms carry a bias.</summary>
    public bool Bias { get; init; }

    /// <summary>Hidden width of the MLP ÷ width, before rounding to a multiple of 32.</summary>
    public double MlpRatio { get; init; } = 4;

    /// <summary>Base of the rotary frequencies.</summary>
    public double RopeBase { get; init; } = 10_000;

    /// <summary>Added to the variance in norms.</summary>
    public double NormEpsilon { get; init; } = 1e-5;

    /// <summary>Standard deviation of the initial weights; residual projections are divided by √(2·layers).</summary>
    public double InitialDeviation { get; init; } = 0.02;

    /// <summary>Elements per head.</summary>
    public int HeadWidth => Width / Heads;

    /// <summary>Hidden width of the MLP half.</summary>
    public int HiddenWidth => (int)(Math.Round(Width * MlpRatio / 32) * 32);

    /// <summary>Every fault of these settings, as sentences; empty when the model can be built.</summary>
    public IReadOnlyList<string> Faults()
    {
        List<string> faults = [];
        if (Layers < 1) faults.Add($"model.layers is {Layers}; at least 1 is needed.");
        if (Heads < 1 || Width % Heads != 0) faults.Add($"model.width {Width} is not divisible by model.heads {Heads}.");
        if (KeyValueHeads < 1 || Heads % KeyValueHeads != 0)
            faults.Add($"model.kv-heads {KeyValueHeads} does not divide model.heads {Heads}.");
        if (Positions == PositionKind.Rope && Heads > 0 && HeadWidth % 2 != 0)
            faults.Add($"model.positions = rope needs an even head width, found {HeadWidth}.");
        if (Context < 1) faults.Add($"model.context is {Context}; at least 1 is needed.");
        if (Vocabulary < 2) faults.Add($"model.vocabulary is {Vocabulary}; at least 2 is needed.");
        if (HeadSlices < 1 || HeadSlices > Vocabulary / 2)
            faults.Add($"model.head-slices is {HeadSlices}; it must lie between 1 and half of model.vocabulary, {Vocabulary / 2}.");
        if (HeadSlices > 1 && Tied) faults.Add($"model.head-slices is {HeadSlices}, but a tied head is the embedding's matrix, which is not cut: set model.tied = false.");
        if (Dropout is < 0 or >= 1) faults.Add($"model.dropout is {Dropout}; it must lie in [0, 1).");
        if (HiddenWidth < 32) faults.Add($"model.mlp-ratio {MlpRatio} gives a hidden width of {HiddenWidth}; at least 32 is needed.");
        return faults;
    }
}
