namespace Pipeline.Cli.Configuration;

/// <summary>One thing wrong with the configuration.</summary>
/// <param name="Subject">The key, or the file or option where no key could be read.</param>
/// <param name="Origin">Where it was written; null where several places conflict.</param>
/// <param name="Sentence">What was expected, what was found, what to do.</param>
public sealed record ConfigurationFault(string Subject, Origin? Origin, string Sentence)
{
    /// <inheritdoc/>
    public override string ToString() => Origin is null ? $"{Subject}: {Sentence}" : $"{Subject} ({Origin}): {Sentence}";
}

/// <summary>Where a value was written.</summary>
/// <param name="Layer">The layer: <c>reference.conf</c>, <c>preset gpt-micro</c>, a file, a variable, <c>--set</c>, a flag.</param>
/// <param name="Line">Line of a file, from 1; 0 where the layer has none.</param>
public sealed record Origin(string Layer, int Line = 0)
{
    /// <inheritdoc/>
    public override string ToString() => Line > 0 ? $"{Layer}, line {Line}" : Layer;
}

/// <summary>The configuration cannot be used. It carries every fault that was found, not the first.</summary>
public sealed class ConfigurationException : Exception
{
    /// <summary>Gathers faults, at least one.</summary>
    public ConfigurationException(IReadOnlyList<ConfigurationFault> faults) : base(Describe(faults)) => Faults = faults;

    /// <summary>Every fault, in the order of the layers, weakest first.</summary>
    public IReadOnlyList<ConfigurationFault> Faults { get; }

    private static string Describe(IReadOnlyList<ConfigurationFault> faults) => faults.Count == 1
        ? faults[0].ToString()
        : $"The configuration has {faults.Count} faults:" + string.Concat(faults.Select(fault => $"{Environment.NewLine}  {fault}"));
}
