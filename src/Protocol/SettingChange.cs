using System.Globalization;
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

    /// <summary>Where copies of the ranks' states go: a <see cref="Protocol.ProtectionKind"/>.</summary>
    ProtectionKind = 8,

    /// <summary>Steps between these copies.</summary>
    ProtectionEvery = 9,

    /// <summary>How what replicas contribute is compressed: a number of <c>compression.kind</c>.</summary>
    GradientCompression = 10,

    /// <summary>How the sums that go back to replicas are compressed: a number of <c>compression.answer</c>.</summary>
    AnswerCompression = 11,
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
        ("protection", SettingKind.ProtectionKind), ("protection-every", SettingKind.ProtectionEvery), ("compression", SettingKind.GradientCompression), ("compression-answer", SettingKind.AnswerCompression),
    ];

    // What a run finds out by itself, or an operator asks for in other words.
    private static readonly (string Name, SettingKind Setting)[] OtherNames =
        [("compression-trial", SettingKind.Compression), ("evaluate", SettingKind.EvaluateOnce), ("trace", SettingKind.Trace)];

    private static readonly string[] Protections = ["none", "memory", "disk"];

    private static readonly string[] Compressions = ["none", "bf16", "int8", "int4", "top-k", "power-sgd", "one-bit"];

    /// <summary>The names under which operators change settings.</summary>
    public static IReadOnlyList<string> SettingNames { get; } = [.. Names.Select(name => name.Name)];

    /// <summary>The value as a word; null where it is a number.</summary>
    public string? AsWord() => WordsOf(Setting) is var words && Value >= 0 && Value < words.Count ? words[(int)Value] : null;

    /// <summary>The value as people read it.</summary>
    public string AsText() => AsWord() ?? FormattableString.Invariant($"{Value:R}");

    /// <summary>The setting of a name; null if there is none.</summary>
    public static SettingKind? Parse(string? name) => Names.Concat(OtherNames).Where(known => known.Name == name).Select(known => (SettingKind?)known.Setting).FirstOrDefault();

    /// <summary>The setting of a name that operators may use; null if there is none.</summary>
    public static SettingKind? ParseChangeable(string? name) => Names.Where(known => known.Name == name).Select(known => (SettingKind?)known.Setting).FirstOrDefault();

    /// <summary>The name of a setting.</summary>
    public static string NameOf(SettingKind setting) => Names.Concat(OtherNames).First(known => known.Setting == setting).Name;

    /// <summary>The words that a setting may be set to, each at the place of its number; none for a setting that is a number.</summary>
    public static IReadOnlyList<string> WordsOf(SettingKind setting) => setting switch
    {
        SettingKind.ProtectionKind => Protections,
        SettingKind.GradientCompression or SettingKind.AnswerCompression => Compressions,
        _ => [],
    };

    /// <summary>The number that a text stands for; null where it stands for none.</summary>
    public static double? ValueOf(SettingKind setting, string? text)
    {
        var place = WordsOf(setting).Index().Where(word => word.Item == text).Select(word => word.Index).FirstOrDefault(-1);
        if (WordsOf(setting).Count > 0) return place < 0 ? null : place;
        return double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out var number) && double.IsFinite(number) ? number : null;
    }

    /// <summary>The value that changes give a setting at a step; null where none does.</summary>
    public static double? Latest(IReadOnlyList<SettingChange>? changes, SettingKind setting, long step) =>
        changes?.LastOrDefault(change => change.Setting == setting && change.FromStep <= step)?.Value;
}
