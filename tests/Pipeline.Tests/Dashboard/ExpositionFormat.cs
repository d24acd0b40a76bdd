using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;

namespace Pipeline.Tests.Dashboard;

/// <summary>A sample of Prometheus' text format.</summary>
internal sealed record Sample(string Name, IReadOnlyDictionary<string, string> Labels, double Value);

/// <summary>
/// Reads Prometheus' text format, version 0.0.4, as its documentation describes it, and says where a family breaks its rules or those that promtool checks:
/// names, units, suffixes, buckets. Written from the description; no line may be left over.
/// </summary>
internal sealed partial class ExpositionFormat
{
    private readonly List<Sample> _samples = [];

    private ExpositionFormat(string name) => Name = name;

    internal string Name { get; }

    internal string Type { get; private set; } = "";

    internal string Help { get; private set; } = "";

    internal IReadOnlyList<Sample> Samples => _samples;

    /// <summary>The families of a text; what cannot be read throws.</summary>
    internal static IReadOnlyList<ExpositionFormat> Read(string text)
    {
        if (!text.EndsWith('\n')) throw new FormatException("The last line does not end.");
        List<ExpositionFormat> families = [];
        foreach (var line in text.Split('\n')[..^1])
        {
            if (line.Length == 0) continue;
            if (Comment().Match(line) is { Success: true } comment) Begin(families, comment.Groups[1].Value, comment.Groups[2].Value, comment.Groups[3].Value);
            else if (line[0] != '#') Add(families, line);
            else if (line != "# EOF") throw new FormatException($"A comment that says nothing: {line}");
        }

        return families;
    }

    /// <summary>What breaks a rule.</summary>
    internal IEnumerable<string> Faults()
    {
        if (!MetricName().IsMatch(Name)) yield return $"{Name}: not a name";
        if (Type is not ("counter" or "gauge" or "histogram")) yield return $"{Name}: the type '{Type}'";
        if (Help.Length == 0) yield return $"{Name}: no help";
        if (Samples.Count == 0) yield return $"{Name}: no sample";
        if ((Type == "counter") != Name.EndsWith("_total", StringComparison.Ordinal)) yield return $"{Name}: a counter, and nothing else, ends with _total";
        if (Type != "histogram" && (Name.EndsWith("_bucket", StringComparison.Ordinal) || Name.EndsWith("_count", StringComparison.Ordinal) || Name.EndsWith("_sum", StringComparison.Ordinal))) yield return $"{Name}: the suffix of a histogram";
        if (Name.Split('_').Any(word => word is "milliseconds" or "ms" or "kilobytes" or "minutes")) yield return $"{Name}: no base unit";
        foreach (var sample in Samples)
        {
            if (sample.Labels.Keys.FirstOrDefault(label => !LabelName().IsMatch(label) || label.StartsWith("__", StringComparison.Ordinal)) is { } label) yield return $"{Name}: the label {label}";
            if (Type == "counter" && !(sample.Value >= 0)) yield return $"{Name}: a counter of {sample.Value}";
            if (double.IsNaN(sample.Value)) yield return $"{Name}: a sample that is no number";
        }

        if (Samples.GroupBy(KeyOf).Any(same => same.Count() > 1)) yield return $"{Name}: a sample twice";
        if (Type == "histogram") foreach (var fault in OfBuckets()) yield return fault;
    }

    private static void Begin(List<ExpositionFormat> families, string kind, string name, string rest)
    {
        var family = families.LastOrDefault() is { } last && last.Name == name ? last : null;
        if (family is null)
        {
            if (families.Any(known => known.Name == name)) throw new FormatException($"{name} is begun twice.");
            families.Add(family = new ExpositionFormat(name));
        }

        if (family._samples.Count > 0) throw new FormatException($"{name}: {kind} behind its samples.");
        if (kind == "TYPE") family.Type = rest;
        else if (kind == "HELP") family.Help = rest;
    }

    private static void Add(List<ExpositionFormat> families, string line)
    {
        if (SampleLine().Match(line) is not { Success: true } match) throw new FormatException($"Not a sample: {line}");
        var name = match.Groups["name"].Value;
        var family = families.LastOrDefault() ?? throw new FormatException($"A sample before any family: {line}");
        var isOwn = name == family.Name || (family.Type == "histogram" && (name == family.Name + "_bucket" || name == family.Name + "_sum" || name == family.Name + "_count"));
        if (!isOwn) throw new FormatException($"{name} stands among the samples of {family.Name}.");
        Dictionary<string, string> labels = new(StringComparer.Ordinal);
        foreach (Match label in Label().Matches(match.Groups["labels"].Value)) labels.Add(label.Groups[1].Value, Unescaped(label.Groups[2].Value));
        family._samples.Add(new Sample(name, labels, Number(match.Groups["value"].Value)));
    }

    private static double Number(string text) => text switch
    {
        "+Inf" => double.PositiveInfinity,
        "-Inf" => double.NegativeInfinity,
        "NaN" or "Nan" => double.NaN,
        _ => double.Parse(text, NumberStyles.Float, CultureInfo.InvariantCulture),
    };

    private static string Unescaped(string text)
    {
        StringBuilder plain = new();
        for (var index = 0; index < text.Length; index++)
            plain.Append(text[index] != '\\' ? text[index] : text[++index] switch { 'n' => '\n', '\\' => '\\', '"' => '"', var other => throw new FormatException($"\\{other} is no escape.") });
        return plain.ToString();
    }

    private static string KeyOf(Sample sample) => sample.Name + string.Concat(sample.Labels.OrderBy(label => label.Key, StringComparer.Ordinal).Select(label => $"\u0000{label.Key}\u0001{label.Value}"));

    private IEnumerable<string> OfBuckets()
    {
        foreach (var series in Samples.GroupBy(sample => KeyOf(sample with { Name = "", Labels = sample.Labels.Where(label => label.Key != "le").ToDictionary() })))
        {
            var buckets = series.Where(sample => sample.Name == Name + "_bucket").Select(sample => (Bound: Number(sample.Labels["le"]), sample.Value)).ToArray();
            var count = series.SingleOrDefault(sample => sample.Name == Name + "_count")?.Value;
            if (buckets.Length < 2 || !double.IsPositiveInfinity(buckets[^1].Bound)) yield return $"{Name}: no bucket without a bound at the end";
            if (!buckets.Zip(buckets.Skip(1)).All(pair => pair.First.Bound < pair.Second.Bound && pair.First.Value <= pair.Second.Value)) yield return $"{Name}: buckets that do not rise";
            if (count != buckets.LastOrDefault().Value) yield return $"{Name}: a count of {count} beside {buckets.LastOrDefault().Value} in the last bucket";
            if (series.Count(sample => sample.Name == Name + "_sum") != 1) yield return $"{Name}: no sum";
        }
    }

    [GeneratedRegex(@"^# (TYPE|HELP|UNIT) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.*)$")]
    private static partial Regex Comment();

    [GeneratedRegex("^(?<name>[a-zA-Z_:][a-zA-Z0-9_:]*)(\\{(?<labels>([a-zA-Z_][a-zA-Z0-9_]*=\"([^\"\\\\\\n]|\\\\[\\\\\"n])*\",?)*)\\})? (?<value>[^ ]+)( -?[0-9]+)?$")]
    private static partial Regex SampleLine();

    [GeneratedRegex("([a-zA-Z_][a-zA-Z0-9_]*)=\"((?:[^\"\\\\\\n]|\\\\[\\\\\"n])*)\"")]
    private static partial Regex Label();

    [GeneratedRegex("^[a-zA-Z_:][a-zA-Z0-9_:]*$")]
    private static partial Regex MetricName();

    [GeneratedRegex("^[a-zA-Z_][a-zA-Z0-9_]*$")]
    private static partial Regex LabelName();
}
