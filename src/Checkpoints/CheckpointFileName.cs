namespace Pipeline.Checkpoints;

/// <summary>The names of files inside a checkpoint, after Hugging Face's habit for sharded models.</summary>
public static class CheckpointFileName
{
    /// <summary>The file whose presence makes a checkpoint.</summary>
    public const string Manifest = "manifest.json";

    /// <summary>Which file holds which weight.</summary>
    public const string WeightIndex = "model.safetensors.index.json";

    private const string ModelPrefix = "model-";
    private const int MaxLength = 200;

    /// <summary>Weights of one part: <c>model-00001-of-00002.safetensors</c> for index 0 of 2.</summary>
    public static string Model(int partIndex, int partCount) => Part("model", partIndex, partCount);

    /// <summary>Optimizer state of one part: <c>optimizer-00001-of-00002.safetensors</c> for index 0 of 2.</summary>
    public static string Optimizer(int partIndex, int partCount) => Part("optimizer", partIndex, partCount);

    /// <summary>What compression between replicas has lost so far, of one rank: <c>residual-00001-of-00002.safetensors</c> for index 0 of 2.</summary>
    public static string Residual(int partIndex, int partCount) => Part("residual", partIndex, partCount);

    internal static bool HoldsWeights(string name) => HoldsTensors(name) && (name.StartsWith(ModelPrefix, StringComparison.Ordinal) || name == "model.safetensors");

    internal static bool HoldsTensors(string name) => name.EndsWith(".safetensors", StringComparison.Ordinal);

    /// <summary>
    /// Whether a name stays inside its folder on every system: letters, digits, dot, dash and underscore, not beginning with a dot or a dash.
    /// </summary>
    internal static bool IsPlain(string name) =>
        name.Length is > 0 and <= MaxLength
        && (char.IsAsciiLetterOrDigit(name[0]) || name[0] == '_')
        && name.All(c => char.IsAsciiLetterOrDigit(c) || c is '.' or '-' or '_');

    private static string Part(string prefix, int partIndex, int partCount)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(partIndex);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(partIndex, partCount);
        return FormattableString.Invariant($"{prefix}-{partIndex + 1:D5}-of-{partCount:D5}.safetensors");
    }
}
