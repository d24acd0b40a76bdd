using System.Collections.Immutable;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Pipeline.Cli.Configuration;
using Pipeline.Model;
using Pipeline.Runs;
using Pipeline.Schedules;

namespace Pipeline.Cli.Planning;

/// <summary>Profiles as files: named by the settings, or in the cache under what the figures depend on.</summary>
internal static class ProfileStore
{
    private static readonly JsonSerializerOptions s_options = new(JsonOutput.Options) { PropertyNamingPolicy = JsonNamingPolicy.KebabCaseLower };

    /// <summary>The profile of a run's model and machine, or null where none was measured. A damaged one in the cache counts as none.</summary>
    /// <exception cref="ScheduleException">A named file cannot be read, or belongs to another model.</exception>
    public static ModelProfile? Find(RunSettings settings)
    {
        if (NamedPath(settings) is { } named) return Read(named, settings).Profile;
        var cached = CachePath(settings);
        try
        {
            return File.Exists(cached) ? Read(cached, settings).Profile : null;
        }
        catch (ScheduleException)
        {
            return null;
        }
    }

    /// <summary>The profile, or estimates in no unit of time where there is none.</summary>
    /// <exception cref="ScheduleException">A named file cannot be read, or belongs to another model.</exception>
    public static ModelProfile FindOrEstimate(RunSettings settings) => Find(settings) ?? UnitEstimates.Of(settings);

    /// <summary>The profile in a file, or estimates where it is not there or cannot be read: no run depends on it.</summary>
    public static ModelProfile ReadOrEstimate(string path, RunSettings settings)
    {
        try
        {
            if (File.Exists(path)) return Read(path, settings).Profile;
        }
        catch (ScheduleException)
        {
            // As if there were none.
        }

        return UnitEstimates.Of(settings);
    }

    /// <summary>Copies the profile of a run to where others find it, or removes what lies there if there is none.</summary>
    public static void Share(RunSettings settings, string path)
    {
        var source = NamedPath(settings) ?? CachePath(settings);
        if (Path.GetFullPath(source) == Path.GetFullPath(path)) return;
        if (Find(settings) is null) File.Delete(path);
        else File.Copy(source, path, overwrite: true);
    }

    /// <summary>
    /// How fast machines are beside the one whose profile <see cref="Find"/> gives, by the work of all units on a micro-batch: one for each named file, in
    /// their order; none where fewer than two are named.
    /// </summary>
    /// <exception cref="ScheduleException">A named file cannot be read, or belongs to another model.</exception>
    public static IReadOnlyList<(string Machine, double Speed)> Speeds(RunSettings settings)
    {
        var paths = Paths(settings);
        if (paths.Length < 2) return [];
        var own = Work(Read(NamedPath(settings)!, settings).Profile);
        return [.. paths.Select(path => Read(path, settings)).Select(one => (one.Machine, own / Work(one.Profile)))];

        double Work(ModelProfile profile) => profile.For(settings.Step.MicroBatchSize).Sum(unit => unit.WorkUnder(isSplit: true, RecomputePolicy.None));
    }

    private static string[] Paths(RunSettings settings) => settings.Profile?.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries) ?? [];

    // Of several that of this machine, where it is among them.
    private static string? NamedPath(RunSettings settings) => Paths(settings) is [var first, .. var others]
        ? others.Length == 0 ? first : Paths(settings).FirstOrDefault(path => Read(path, settings).Machine == Environment.MachineName) ?? first
        : null;

    private static (string Machine, ModelProfile Profile) Read(string path, RunSettings settings)
    {
        try
        {
            var file = JsonSerializer.Deserialize<ProfileFile>(File.ReadAllText(path), s_options) ?? throw new JsonException("it is empty");
            if (file.Sizes is null) throw new JsonException("it has no sizes");
            var names = DecoderTransformer.Units(settings.Model).Select(unit => unit.Name);
            if (file.Sizes.Count == 0 || file.Sizes.Values.Any(units => !units.Select(unit => unit.Name).SequenceEqual(names, StringComparer.Ordinal)))
                throw new ScheduleException($"The profile {path} is of another model: expected its units to be those of this one. Measure it with `pipeline profile`, or leave pipeline.profile out.");
            return (file.Machine, new ModelProfile
            {
                Source = $"measured on {file.Machine} at {file.MeasuredAt:u}",
                IsMeasured = true,
                BySize = file.Sizes.ToImmutableSortedDictionary(pair => pair.Key, pair => pair.Value.ToImmutableArray()),
                ActionOverhead = file.ActionOverhead,
                HopLatency = file.HopLatency,
            });
        }
        catch (Exception unreadable) when (unreadable is IOException or UnauthorizedAccessException or JsonException)
        {
            throw new ScheduleException($"The profile {path} cannot be read: {unreadable.Message} Measure it anew with `pipeline profile`.", unreadable);
        }
    }

    /// <summary>Writes a profile, into the cache where no path is given.</summary>
    /// <returns>Where it lies.</returns>
    public static string Write(RunSettings settings, string? path, ProfileFile file)
    {
        var target = path ?? CachePath(settings);
        Directory.CreateDirectory(Path.GetDirectoryName(Path.GetFullPath(target))!);
        AtomicFile.WriteText(target, JsonSerializer.Serialize(file, s_options) + "\n");
        return target;
    }

    // What the costs of a unit depend on; the machine is that of the cache.
    private static string CachePath(RunSettings settings)
    {
        var text = $"{settings.Model}\n{settings.Precision}\n{settings.Device}\n{settings.ThreadsPerStage}\n{Environment.MachineName}";
        var hash = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text)))[..16];
        return Path.Combine(settings.Data.CacheFolder, "profiles", $"{hash}.json");
    }
}

/// <summary>The content of a profile's file.</summary>
/// <param name="Machine">What was measured on.</param>
/// <param name="MeasuredAt">When.</param>
/// <param name="Precision">Arithmetic.</param>
/// <param name="ActionOverhead">Seconds of an action besides its units.</param>
/// <param name="HopLatency">Seconds from rank to rank.</param>
/// <param name="Sizes">Units by samples of a micro-batch; times in seconds.</param>
internal sealed record ProfileFile(
    string Machine, DateTimeOffset MeasuredAt, string Precision, double ActionOverhead, double HopLatency, SortedDictionary<int, List<UnitProfile>> Sizes);
