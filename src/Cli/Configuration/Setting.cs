namespace Pipeline.Cli.Configuration;

/// <summary>
/// The declaration of one key: its path, what a value must be, and how a text becomes one. It holds no default: those
/// stand in <c>hocon/reference.conf</c> only.
/// </summary>
public abstract class Setting(string path, string expectation)
{
    /// <summary>Path below <c>pipeline.</c>, such as <c>model.layers</c>.</summary>
    public string Path { get; } = path;

    /// <summary>Path as users write it, such as <c>pipeline.model.layers</c>.</summary>
    public string FullPath => SettingsSchema.Root + "." + Path;

    /// <summary>What a value must be, with range and unit, to follow the word "expected".</summary>
    public string Expectation { get; } = expectation;

    /// <summary>Whether <c>train --resume</c> may change it; every other key keeps the value that the run was started with.</summary>
    public bool ChangesOnResume { get; init; }

    /// <summary>Reads a value as a layer wrote it.</summary>
    internal abstract Reading Read(RawValue raw);

    /// <summary>Writes a value that <see cref="Read"/> gave as HOCON that reads back to an equal one.</summary>
    internal abstract string Write(object? value);

    /// <inheritdoc/>
    public override string ToString() => FullPath;
}

/// <summary>A key whose values have the type <typeparamref name="T"/>.</summary>
public abstract class Setting<T>(string path, string expectation) : Setting(path, expectation);

/// <summary>What came of reading a value: the value, or why it is not one.</summary>
/// <param name="Value">The value, where <paramref name="IsValue"/>.</param>
/// <param name="IsValue">Whether the text was a value.</param>
/// <param name="Reason">Why an otherwise well-formed value is refused, as a sentence; null where the expectation says enough.</param>
internal readonly record struct Reading(object? Value, bool IsValue, string? Reason)
{
    public static Reading Of(object? value) => new(value, true, null);

    public static Reading Unfit { get; } = new(null, false, null);

    public static Reading Refused(string reason) => new(null, false, reason);
}
