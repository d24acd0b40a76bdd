using MessagePack;

namespace Pipeline.Protocol;

/// <summary>What may be changed of a run under way.</summary>
public enum SettingKind
{
    /// <summary>Peak learning rate.</summary>
    LearningRate = 0,

    /// <summary>Largest global gradient norm; 0 for no clipping.</summary>
    Clip = 1,

    /// <summary>The step after which the run ends.</summary>
    Steps = 2,

    /// <summary>Steps between evaluations; 0 for none.</summary>
    EvaluateEvery = 3,

    /// <summary>Steps between checkpoints; 0 for the last one only.</summary>
    SaveEvery = 4,

    /// <summary>One evaluation after the first step of the change.</summary>
    EvaluateOnce = 5,

    /// <summary>Whether actions are recorded: 1 or 0.</summary>
    Trace = 6,

    /// <summary>Whether what replicas exchange is compressed: 1 or 0. Decided by the run itself.</summary>
    Compression = 7,
}

/// <summary>A setting that has another value from a step on: the same for all ranks, whenever they compute the step.</summary>
/// <param name="FromStep">The first step that it holds for.</param>
/// <param name="Setting">Which.</param>
/// <param name="Value">Its value.</param>
[MessagePackObject]
public sealed record SettingChange(
    [property: Key(0)] long FromStep,
    [property: Key(1)] SettingKind Setting,
    [property: Key(2)] double Value)
{
    private static readonly (string Name, SettingKind Setting)[] Names =
    [
        ("lr", SettingKind.LearningRate), ("clip", SettingKind.Clip), ("steps", SettingKind.Steps), ("eval-every", SettingKind.EvaluateEvery), ("checkpoint-every", SettingKind.SaveEvery),
        ("compression", SettingKind.Compression),
    ];

    /// <summary>The names under which operators change settings.</summary>
    public static IReadOnlyList<string> SettingNames => [.. Names.Where(name => name.Setting != SettingKind.Compression).Select(name => name.Name)];

    /// <summary>The setting of a name; null if there is none.</summary>
    public static SettingKind? Parse(string? name) => Names.Where(known => known.Name == name).Select(known => (SettingKind?)known.Setting).FirstOrDefault();

    /// <summary>The name of a setting; of those that have none, what they are.</summary>
    public static string NameOf(SettingKind setting) =>
        Names.FirstOrDefault(known => known.Setting == setting).Name ?? (setting == SettingKind.EvaluateOnce ? "evaluate" : "trace");

    /// <summary>The value that changes give a setting at a step; null where none does.</summary>
    public static double? Latest(IReadOnlyList<SettingChange>? changes, SettingKind setting, long step) =>
        changes?.LastOrDefault(change => change.Setting == setting && change.FromStep <= step)?.Value;
}
