namespace Pipeline.Cli.Configuration;

/// <summary>The value of one key after all layers.</summary>
/// <param name="Setting">The key.</param>
/// <param name="Value">The value, of the setting's type.</param>
/// <param name="Origin">The layer that it came from.</param>
public sealed record ResolvedValue(Setting Setting, object? Value, Origin Origin)
{
    /// <summary>The value as HOCON.</summary>
    public string Text => Setting.Write(Value);
}

/// <summary>Every key with its value and origin; what it holds has the right type and lies within its range.</summary>
public sealed class ResolvedConfiguration
{
    private readonly Dictionary<Setting, ResolvedValue> values;

    internal ResolvedConfiguration(Dictionary<Setting, ResolvedValue> values)
    {
        var missing = SettingsSchema.All.Where(setting => !values.ContainsKey(setting)).ToArray();
        if (missing.Length > 0) throw new InvalidOperationException($"{Presets.ReferenceLayer} has no default for {string.Join<Setting>(", ", missing)}.");
        this.values = values;
    }

    /// <summary>All keys, in the order of the schema.</summary>
    public IEnumerable<ResolvedValue> Values => SettingsSchema.All.Select(setting => values[setting]);

    /// <summary>The value of a key.</summary>
    public T Get<T>(Setting<T> setting) => (T)values[setting].Value!;

    /// <summary>The value of a whole-number key as an int; its range must allow that.</summary>
    public int Count(WholeNumberSetting setting) => checked((int)Get(setting));

    /// <summary>The value of a key as HOCON.</summary>
    public string TextOf(Setting setting) => values[setting].Text;

    /// <summary>The same configuration with another value of one key.</summary>
    internal ResolvedConfiguration With<T>(Setting<T> setting, T value, Origin origin) =>
        new(new Dictionary<Setting, ResolvedValue>(values) { [setting] = new(setting, value, origin) });

    /// <summary>The same configuration with a value where the key was null.</summary>
    internal ResolvedConfiguration WithChoice(Setting<long?> setting, long value, Origin origin) =>
        Get(setting) is null ? With(setting, value, origin) : this;

    /// <summary>Where the value of a key came from.</summary>
    public Origin OriginOf(Setting setting) => values[setting].Origin;
}
