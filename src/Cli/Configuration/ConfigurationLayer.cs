using Akka.Configuration;
using Akka.Configuration.Hocon;

namespace Pipeline.Cli.Configuration;

/// <summary>One value of one layer.</summary>
/// <param name="FullPath">The key with its root, such as <c>pipeline.model.layers</c>.</param>
/// <param name="Value">The value as written.</param>
/// <param name="Origin">Where it was written.</param>
public sealed record ConfigurationEntry(string FullPath, RawValue Value, Origin Origin);

/// <summary>
/// What one source says about the settings: entries, and faults where the source itself cannot be read. It knows no schema:
/// <see cref="ConfigurationResolver"/> judges keys and values.
/// </summary>
/// <param name="Entries">The values, in the order of the source; of two for the same key the later holds.</param>
/// <param name="Faults">What is wrong with the source; its entries are then empty.</param>
public sealed record ConfigurationLayer(IReadOnlyList<ConfigurationEntry> Entries, IReadOnlyList<ConfigurationFault> Faults)
{
    /// <summary>A layer that says nothing.</summary>
    public static ConfigurationLayer Empty { get; } = new([], []);

    /// <summary>Reads HOCON.</summary>
    /// <param name="name">What messages call the source.</param>
    /// <param name="text">The HOCON text.</param>
    public static ConfigurationLayer FromHocon(string name, string text)
    {
        var outline = HoconOutline.Of(text);
        if (outline.Faults.Count > 0)
            return Faulty(outline.Faults.Select(fault => new ConfigurationFault("HOCON", new Origin(name, fault.Line), fault.Sentence)));
        if (outline.Lines.Count == 0) return Empty;
        try
        {
            List<ConfigurationEntry> entries = [];
            Flatten(ConfigurationFactory.ParseString(text).Root, "", path => new Origin(name, outline.Lines.GetValueOrDefault(path)), entries);
            return new(entries, []);
        }
        catch (Exception unreadable) when (unreadable is FormatException or Akka.Configuration.ConfigurationException)
        {
            return Faulty([new("HOCON", new Origin(name), $"Cannot be read: {unreadable.Message.Split('\n')[0].Trim()}")]);
        }
    }

    /// <summary>Reads a file of HOCON.</summary>
    public static ConfigurationLayer FromFile(string path)
    {
        try
        {
            return FromHocon(path, File.ReadAllText(path));
        }
        catch (Exception unreadable) when (unreadable is IOException or UnauthorizedAccessException)
        {
            var remedy = unreadable is FileNotFoundException or DirectoryNotFoundException
                ? "There is no such file: check the path given with -c."
                : $"It cannot be read ({unreadable.Message}): a readable HOCON file is expected after -c.";
            return Faulty([new(path, null, remedy)]);
        }
    }

    /// <summary>Reads variables such as <c>PIPELINE__MODEL__KV_HEADS</c>: two underscores for a dot, one for a hyphen.</summary>
    public static ConfigurationLayer FromEnvironment(IReadOnlyDictionary<string, string> variables)
    {
        List<ConfigurationEntry> entries = [];
        foreach (var (name, value) in variables.Where(pair => pair.Key.StartsWith("PIPELINE__", StringComparison.Ordinal))
                     .OrderBy(pair => pair.Key, StringComparer.Ordinal))
        {
            var path = name.Replace("__", ".", StringComparison.Ordinal).Replace('_', '-').ToLowerInvariant();
            entries.Add(new(path, new RawValue(value), new Origin("environment " + name)));
        }

        return new(entries, []);
    }

    /// <summary>Reads <c>--set KEY=VALUE</c>; the key may leave out its root.</summary>
    public static ConfigurationLayer FromAssignments(IEnumerable<string> assignments)
    {
        List<ConfigurationEntry> entries = [];
        List<ConfigurationFault> faults = [];
        foreach (var assignment in assignments)
        {
            var equals = assignment.IndexOf('=', StringComparison.Ordinal);
            if (equals <= 0) faults.Add(new($"--set {assignment}", null, "Expected KEY=VALUE, such as --set model.layers=8."));
            else entries.Add(new(SettingsSchema.WithRoot(assignment[..equals].Trim()), Unquoted(assignment[(equals + 1)..]), new Origin("--set")));
        }

        return new(entries, faults);
    }

    /// <summary>Takes flags such as <c>--stages</c>, each with the setting it stands for.</summary>
    public static ConfigurationLayer FromFlags(IEnumerable<(Setting Setting, string Flag, string Value)> flags) =>
        new(flags.Select(flag => new ConfigurationEntry(flag.Setting.FullPath, new RawValue(flag.Value), new Origin(flag.Flag))).ToArray(), []);

    private static RawValue Unquoted(string value)
    {
        var text = value.Trim();
        return new(text.Length >= 2 && text[0] == '"' && text[^1] == '"' ? text[1..^1] : text);
    }

    private static ConfigurationLayer Faulty(IEnumerable<ConfigurationFault> faults) => new([], faults.ToArray());

    private static void Flatten(HoconValue value, string path, Func<string, Origin> originOf, List<ConfigurationEntry> entries)
    {
        if (value.IsObject())
        {
            var items = value.GetObject().Items;
            if (items.Count == 0 && path.Length > 0) entries.Add(new(path, RawValue.EmptySection, originOf(path)));
            foreach (var (key, child) in items) Flatten(child, path.Length == 0 ? key : path + "." + key, originOf, entries);
        }
        else
        {
            var raw = value.IsArray() ? new RawValue(null, value.GetArray().Select(item => item.GetString()).ToArray()) : new RawValue(value.GetString() ?? "null");
            entries.Add(new(path, raw, originOf(path)));
        }
    }
}
