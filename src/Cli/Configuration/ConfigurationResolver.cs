namespace Pipeline.Cli.Configuration;

/// <summary>The layers above the preset, as a command collected them.</summary>
/// <param name="Files">Files given with <c>-c</c>, in their order.</param>
/// <param name="Environment">Variables.</param>
/// <param name="Assignments"><c>--set</c>.</param>
/// <param name="Flags">Named flags.</param>
public sealed record ConfigurationSources(
    IReadOnlyList<ConfigurationLayer> Files, ConfigurationLayer Environment, ConfigurationLayer Assignments, ConfigurationLayer Flags)
{
    /// <summary>Nothing but defaults.</summary>
    public static ConfigurationSources None { get; } = new([], ConfigurationLayer.Empty, ConfigurationLayer.Empty, ConfigurationLayer.Empty);

    /// <summary>The layers, weakest first.</summary>
    public IReadOnlyList<ConfigurationLayer> WeakestFirst => [.. Files, Environment, Assignments, Flags];
}

/// <summary>Merges layers over the defaults, and reports every fault of every layer at once.</summary>
public static class ConfigurationResolver
{
    /// <summary>Resolves a fresh configuration: reference, preset, then <paramref name="sources"/>.</summary>
    /// <exception cref="ConfigurationException">Any layer has a fault, even one that a stronger layer would cover.</exception>
    public static ResolvedConfiguration Resolve(ConfigurationSources sources)
    {
        var above = sources.WeakestFirst;
        Merge merge = new();
        merge.Add(Presets.Reference());
        merge.Add(Presets.Layer(PresetNamed(above)));
        foreach (var layer in above) merge.Add(layer);
        return merge.Finish();
    }

    /// <summary>Resolves the configuration of a resumed run: what the run stored holds, and only some keys may be changed.</summary>
    /// <param name="stored">The layer of the run's <c>config.conf</c>.</param>
    /// <param name="sources">What the command line adds.</param>
    /// <exception cref="ConfigurationException">A layer has a fault, or changes a key that a resumed run must keep.</exception>
    public static ResolvedConfiguration Resume(ConfigurationLayer stored, ConfigurationSources sources)
    {
        Merge merge = new();
        merge.Add(Presets.Reference());
        merge.Add(stored);
        merge.KeepFixedKeys();
        foreach (var layer in sources.WeakestFirst) merge.Add(layer);
        return merge.Finish();
    }

    /// <summary>The preset that the strongest layer names; the default where none does, or where the name is no preset (a fault, reported later).</summary>
    private static string PresetNamed(IEnumerable<ConfigurationLayer> weakestFirst)
    {
        var name = weakestFirst.Prepend(Presets.Reference()).SelectMany(layer => layer.Entries)
            .Last(entry => entry.FullPath == SettingsSchema.Preset.FullPath).Value.Text;
        return Presets.Names.Contains(name) ? name! : "gpt-micro";
    }

    private sealed class Merge
    {
        private readonly Dictionary<Setting, ResolvedValue> values = [];
        private readonly List<ConfigurationFault> faults = [];
        private bool keepsFixedKeys;

        public void KeepFixedKeys() => keepsFixedKeys = true;

        public void Add(ConfigurationLayer layer)
        {
            faults.AddRange(layer.Faults);
            foreach (var entry in layer.Entries) Add(entry);
        }

        public ResolvedConfiguration Finish()
        {
            if (faults.Count > 0) throw new ConfigurationException(faults);
            return new(values);
        }

        private void Add(ConfigurationEntry entry)
        {
            if (SettingsSchema.Find(entry.FullPath) is not { } setting)
            {
                if (entry.Value != RawValue.EmptySection || !IsKnownSection(entry.FullPath))
                    faults.Add(new(entry.FullPath, entry.Origin, UnknownKey.Sentence(entry.FullPath)));
                return;
            }

            var weaker = values.GetValueOrDefault(setting);
            var reading = setting.Read(entry.Value);
            if (!reading.IsValue) faults.Add(new(entry.FullPath, entry.Origin, Unfit(setting, entry, reading, weaker)));
            else if (keepsFixedKeys && !setting.ChangesOnResume && weaker is not null && setting.Write(reading.Value) != weaker.Text)
                faults.Add(new(entry.FullPath, entry.Origin, $"A resumed run keeps what it was started with, {weaker.Text}; found {entry.Value.Shown}. "
                    + "Leave it out, or start a new run. Stages, schedule, steps, device, links and cadences may change."));
            else values[setting] = new(setting, reading.Value, entry.Origin);
        }

        private static bool IsKnownSection(string path) => path == SettingsSchema.Root || SettingsSchema.IsSection(path);

        private static string Unfit(Setting setting, ConfigurationEntry entry, Reading reading, ResolvedValue? weaker)
        {
            var remedy = weaker is null ? "" : $" Correct it, or leave it out for {weaker.Text} ({weaker.Origin.Layer}).";
            return reading.Reason is { } reason
                ? $"{reason} Found {entry.Value.Shown}."
                : $"Expected {setting.Expectation}; found {entry.Value.Shown}.{remedy}";
        }
    }
}

/// <summary>Says what is probably meant by a key that does not exist.</summary>
internal static class UnknownKey
{
    public static string Sentence(string fullPath)
    {
        if (SettingsSchema.IsSection(fullPath)) return $"Expected a section with keys such as {Example(fullPath)}, found a value.";
        if (Nearest(fullPath) is { } near) return $"There is no such setting. Did you mean {near}?";
        return fullPath.StartsWith(SettingsSchema.Root + ".", StringComparison.Ordinal)
            ? "There is no such setting. `pipeline config show` lists all of them."
            : $"There is no such setting: every key stands under '{SettingsSchema.Root}.'. `pipeline config show` lists all of them.";
    }

    private static string Example(string section) =>
        SettingsSchema.All.First(setting => setting.FullPath.StartsWith(section + ".", StringComparison.Ordinal)).FullPath;

    private static string? Nearest(string fullPath)
    {
        var path = SettingsSchema.WithRoot(fullPath)[(SettingsSchema.Root.Length + 1)..];
        var sameWord = SettingsSchema.All.Where(setting => setting.Path.Split('.')[^1] == path.Split('.')[^1]).ToArray();
        if (sameWord.Length == 1) return sameWord[0].FullPath;
        return NearestName.To(path, SettingsSchema.All.Select(setting => setting.Path)) is { } near ? SettingsSchema.WithRoot(near) : null;
    }
}
