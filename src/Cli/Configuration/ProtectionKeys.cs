using Pipeline.Protocol;

namespace Pipeline.Cli.Configuration;

/// <summary>Keys of <c>pipeline.protection</c>. What is copied where changes no number of a run.</summary>
public static class ProtectionKeys
{
    /// <summary>Where copies of the stages' state go.</summary>
    public static readonly OptionalSetting<ProtectionKind, ProtectionKind?> Kind =
        new(new ChoiceSetting<ProtectionKind>("protection.kind", ("none", ProtectionKind.None), ("memory", ProtectionKind.Memory), ("disk", ProtectionKind.Disk))) { ChangesOnResume = true };

    /// <summary>Steps between copies.</summary>
    public static readonly WholeNumberSetting Every = new("protection.every", 1, 1_000_000, "steps") { ChangesOnResume = true };

    /// <summary>All of them.</summary>
    public static IReadOnlyList<Setting> All { get; } = [Kind, Every];
}

/// <summary>How a run over several processes guards against the loss of some.</summary>
/// <param name="Kind">Where copies go; null to choose by the number of processes.</param>
/// <param name="Every">Steps between copies.</param>
/// <param name="SuspectAfter">A node that has been silent for so long counts as lost.</param>
public sealed record ProtectionSettings(ProtectionKind? Kind, int Every, TimeSpan SuspectAfter);
