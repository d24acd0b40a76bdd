using System.Collections.Immutable;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Pipeline.Cli.Configuration;
using Pipeline.Model;
using Pipeline.Runs;
using Pipeline.Schedules;

namespace Pipeline.Cli.Planning;

/// <summary>Profiles as files: named by the settings, or in the cache under what the figures depend on, one for this machine and one for each node of a cluster.</summary>
internal static class ProfileStore
{
    private static readonly JsonSerializerOptions s_options = new(JsonOutput.Options) { PropertyNamingPolicy = JsonNamingPolicy.KebabCaseLower };

    /// <summary>The profile of a run's model and machine, or null where none was measured. A damaged one in the cache counts as none.</summary>
    /// <exception cref="ScheduleException">A named file cannot be read, or belongs to another model or arithmetic.</exception>
    public static ModelProfile? Find(RunSettings settings) => Own(settings)?.Profile;

    /// <summary>The same with where it was measured.</summary>
    /// <inheritdoc cref="Find"/>
    public static StoredProfile? Own(RunSettings settings)
    {
        // Of several named ones that of this machine, where it is among them.
        var named = Named(settings);
        return named.Count > 0 ? named.FirstOrDefault(profile => profile.Machine == Environment.MachineName) ?? named[0] : Cached(CachePath(settings), settings);
    }

    /// <summary>The profiles that the settings name, in their order.</summary>
    /// <inheritdoc cref="Find"/>
    public static IReadOnlyList<StoredProfile> Named(RunSettings settings) =>
        [.. (settings.Profile ?? "").Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries).Select(path => Read(path, settings))];

    /// <summary>The profile of a node of a cluster: a named one of it or of its machine, else what was measured on it before, else, of a node on this machine, that of the machine.</summary>
    /// <param name="settings">The run's.</param>
    /// <param name="machine">Its machine.</param>
    /// <param name="node">Its name.</param>
    /// <inheritdoc cref="Find"/>
    public static StoredProfile? OfNode(RunSettings settings, string machine, string node)
    {
        StoredProfile[] named = [.. Named(settings).Where(profile => profile.Machine == machine)];
        if (named.FirstOrDefault(profile => profile.Node == node) is { } own) return own;
        if (named.Length > 0) return named[0];
        return Cached(CachePath(settings, machine, node), settings) ?? (machine == Environment.MachineName ? Cached(CachePath(settings), settings) : null);
    }

    /// <summary>The profile, or estimates in no unit of time where there is none.</summary>
    /// <inheritdoc cref="Find"/>
    public static ModelProfile FindOrEstimate(RunSettings settings) => Find(settings) ?? UnitEstimates.Of(settings);

    /// <summary>The profile in a file, or estimates where it is not there or cannot be read: no run depends on it.</summary>
    public static ModelProfile ReadOrEstimate(string path, RunSettings settings) => Cached(path, settings)?.Profile ?? UnitEstimates.Of(settings);

    /// <summary>
    /// Writes the profile of a run to where others find it, or removes what lies there if there is none. It is written anew rather than copied: a copy of a file that may
    /// not be changed may not be changed either, and would stop whoever goes on with the run.
    /// </summary>
    /// <param name="settings">The run's.</param>
    /// <param name="path">Where to.</param>
    /// <param name="planned">Costs that the run's plan reckons with; null for those that its settings find.</param>
    public static void Share(RunSettings settings, string path, ModelProfile? planned = null)
    {
        var profile = planned is { IsMeasured: true } ? new StoredProfile("the nodes of the plan", "", DateTimeOffset.UtcNow, 0, planned) : Own(settings);
        if (profile is null) File.Delete(path);
        else AtomicFile.WriteText(path, Text(profile.ToFile(Word(settings))));
    }

    /// <summary>Writes a profile, into the cache where no path is given.</summary>
    /// <returns>Where it lies.</returns>
    public static string Write(RunSettings settings, string? path, ProfileFile file)
    {
        var target = path ?? (file.Node.Length > 0 ? CachePath(settings, file.Machine, file.Node) : CachePath(settings));
        Directory.CreateDirectory(Path.GetDirectoryName(Path.GetFullPath(target))!);
        AtomicFile.WriteText(target, Text(file));
        return target;
    }

    /// <summary>The arithmetic as a profile names it.</summary>
    internal static string Word(RunSettings settings) => settings.Arithmetic().ToString().ToLowerInvariant();

    private static StoredProfile? Cached(string path, RunSettings settings)
    {
        try
        {
            return File.Exists(path) ? Read(path, settings) : null;
        }
        catch (ScheduleException)
        {
            return null;
        }
    }

    private static StoredProfile Read(string path, RunSettings settings)
    {
        try
        {
            var file = JsonSerializer.Deserialize<ProfileFile>(File.ReadAllText(path), s_options) ?? throw new JsonException("it is empty");
            if (file.Fault(settings) is { } fault) throw new ScheduleException($"The profile {path} {fault} Measure it with `pipeline profile`, or leave pipeline.profile out.");
            return StoredProfile.Of(file).With(settings);
        }
        catch (Exception unreadable) when (unreadable is IOException or UnauthorizedAccessException or JsonException)
        {
            throw new ScheduleException($"The profile {path} cannot be read: {unreadable.Message} Measure it anew with `pipeline profile`.", unreadable);
        }
    }

    private static string Text(ProfileFile file) => JsonSerializer.Serialize(file, s_options) + "\n";

    private static string CachePath(RunSettings settings) => Hashed(settings, Environment.MachineName);

    private static string CachePath(RunSettings settings, string machine, string node) => Hashed(settings, $"{machine}\n{node}");

    // What the costs of a unit depend on.
    private static string Hashed(RunSettings settings, string where)
    {
        var text = $"{settings.Model}\n{settings.Precision}\n{settings.Device}\n{settings.ThreadsPerStage}\n{where}";
        var hash = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text)))[..16];
        return Path.Combine(settings.Data.CacheFolder, "profiles", $"{hash}.json");
    }
}

/// <summary>A profile and where it was measured.</summary>
/// <param name="Machine">On which machine.</param>
/// <param name="Node">On which of its nodes; empty where it was none.</param>
/// <param name="MeasuredAt">When.</param>
/// <param name="GigaFlops">What a matrix product reached there, as nodes say it of themselves; 0 where that is not known.</param>
/// <param name="Profile">The costs.</param>
internal sealed record StoredProfile(string Machine, string Node, DateTimeOffset MeasuredAt, double GigaFlops, ModelProfile Profile)
{
    /// <summary>That of a file which has no fault.</summary>
    public static StoredProfile Of(ProfileFile file) => new(file.Machine, file.Node ?? "", file.MeasuredAt, file.GigaFlops, new ModelProfile
    {
        Source = $"measured on {(file.Node is { Length: > 0 } ? $"node {file.Node} of " : "")}{file.Machine} at {file.MeasuredAt:u}",
        IsMeasured = true,
        BySize = file.Sizes.ToImmutableSortedDictionary(pair => pair.Key, pair => pair.Value.ToImmutableArray()),
        ActionOverhead = file.ActionOverhead,
        HopLatency = file.HopLatency,
    });

    /// <summary>With the state that units have in a run: what of it is shared out is that run's matter, not that of the one which was measured.</summary>
    public StoredProfile With(RunSettings settings)
    {
        var units = DecoderTransformer.Units(settings.Model);
        return this with { Profile = Profile with { BySize = Profile.BySize.ToImmutableSortedDictionary(pair => pair.Key, pair => pair.Value.Select((unit, index) => Sized(unit, index, pair.Key)).ToImmutableArray()) } };

        UnitProfile Sized(UnitProfile unit, int index, int microBatchSize)
        {
            var sizes = UnitSizes.Of(units[index], settings, microBatchSize);
            return unit with { StateBytes = sizes.StateBytes, GradientBytes = sizes.ParameterCount * 4 };
        }
    }

    /// <summary>As a file.</summary>
    public ProfileFile ToFile(string precision) => new(
        Machine, MeasuredAt, precision, Profile.ActionOverhead, Profile.HopLatency, new(Profile.BySize.ToDictionary(pair => pair.Key, pair => pair.Value.ToList())), GigaFlops, Node);
}

/// <summary>The content of a profile's file.</summary>
/// <param name="Machine">What was measured on.</param>
/// <param name="MeasuredAt">When.</param>
/// <param name="Precision">Arithmetic.</param>
/// <param name="ActionOverhead">Seconds of an action besides its units.</param>
/// <param name="HopLatency">Seconds from rank to rank.</param>
/// <param name="Sizes">Units by samples of a micro-batch; times in seconds.</param>
/// <param name="GigaFlops">Of a matrix product on one thread there; 0 where that is not known.</param>
/// <param name="Node">Node of a cluster that was measured; empty for none.</param>
internal sealed record ProfileFile(
    string Machine, DateTimeOffset MeasuredAt, string Precision, double ActionOverhead, double HopLatency, SortedDictionary<int, List<UnitProfile>> Sizes, double GigaFlops = 0, string Node = "")
{
    // Of one unit: what is beyond was not measured.
    private const double MostSeconds = 1e5;
    private const long MostBytes = 1L << 46;

    /// <summary>Why it does not serve a run, as the end of a sentence that begins with what it is, and what was expected; null where it does.</summary>
    public string? Fault(RunSettings settings)
    {
        var names = DecoderTransformer.Units(settings.Model).Select(unit => unit.Name);
        if (Sizes is not { Count: > 0 } || Sizes.Values.Any(units => units is null || !units.Select(unit => unit?.Name).SequenceEqual(names, StringComparer.Ordinal)))
            return "is of another model: expected its units to be those of this one.";
        if (settings.Precision is not PrecisionChoice.Auto && Precision != ProfileStore.Word(settings))
            return $"was measured in {Precision}: expected {ProfileStore.Word(settings)}, the arithmetic of the run.";
        var times = Sizes.Values.SelectMany(units => units).SelectMany(unit => new[] { unit.Forward, unit.Backward, unit.InputGradient, unit.WeightGradient, unit.Optimizer, unit.SelectiveRecompute });
        var bytes = Sizes.Values.SelectMany(units => units).SelectMany(unit => new[] { unit.KeptBytes, unit.SelectiveKeptBytes ?? 0, unit.DeferredBytes, unit.OutputBytes, unit.StateBytes, unit.GradientBytes });
        return Sizes.Keys.Any(size => size < 1) || times.Append(ActionOverhead).Append(HopLatency).Any(time => !double.IsFinite(time) || time is < 0 or > MostSeconds) || bytes.Any(count => count is < 0 or > MostBytes)
            || Sizes.Values.Any(units => units.Sum(unit => unit.Forward) <= 0)
                ? "holds figures that no machine has: expected seconds and bytes from 0, and forwards that take some time." : null;
    }
}
