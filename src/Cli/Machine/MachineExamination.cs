using Pipeline.Cli.Configuration;

namespace Pipeline.Cli.Machine;

/// <summary>Runs every check of the machine, in the order in which a failure would show.</summary>
public static class MachineExamination
{
    /// <summary>Examines the machine for a run with these settings.</summary>
    public static IReadOnlyList<Finding> Of(RunSettings settings, CommandContext context)
    {
        var cache = Path.GetFullPath(settings.Data.CacheFolder);
        var runs = Path.GetFullPath(settings.Run.Directory ?? "runs");
        List<Finding> findings = [.. SystemChecks.All(settings), .. FolderChecks.All(cache, runs, context.Time), .. LimitChecks.All()];
        if (findings.Any(finding => finding is { Subject: SystemChecks.StandardLibrary, Level: FindingLevel.Lacking }))
            findings.Add(Finding.Lacking("torch", "not tried: the C++ library above is too old for it", "See there."));
        else findings.AddRange(TorchChecks.All(settings, cache));
        return findings;
    }
}
