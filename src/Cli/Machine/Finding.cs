namespace Pipeline.Cli.Machine;

/// <summary>How much a finding matters.</summary>
public enum FindingLevel
{
    /// <summary>As it should be.</summary>
    Fine,

    /// <summary>Worth knowing; training works.</summary>
    Notice,

    /// <summary>Training cannot work.</summary>
    Lacking,
}

/// <summary>What the examination found about one thing.</summary>
/// <param name="Subject">The thing.</param>
/// <param name="Level">How much it matters.</param>
/// <param name="Found">What was found, with values.</param>
/// <param name="Remedy">What to do; null where nothing is to be done.</param>
public sealed record Finding(string Subject, FindingLevel Level, string Found, string? Remedy = null)
{
    /// <summary>A finding without a remedy.</summary>
    public static Finding Fine(string subject, string found) => new(subject, FindingLevel.Fine, found);

    /// <summary>A finding that does not prevent training.</summary>
    public static Finding Notice(string subject, string found, string remedy) => new(subject, FindingLevel.Notice, found, remedy);

    /// <summary>A finding that prevents training.</summary>
    public static Finding Lacking(string subject, string found, string remedy) => new(subject, FindingLevel.Lacking, found, remedy);
}
