using System.Collections.Immutable;
using System.Globalization;

namespace Pipeline.Schedules;

/// <summary>
/// What each unit of a model drops after its forward, to make it again before its backward: the same for all, or each its own. A value; written as a word, or as
/// pairs such as <c>4xfull, 10xnone</c> in the model's order.
/// </summary>
public sealed record UnitRecompute
{
    private const int MaxUnitCount = 100_000;
    private static readonly ImmutableArray<string> s_words = [.. Enum.GetNames<RecomputePolicy>().Select(name => name.ToLowerInvariant())];

    // One for all units, or one for each.
    private readonly ImmutableArray<RecomputePolicy> _policies;

    private UnitRecompute(ImmutableArray<RecomputePolicy> policies, int? unitCount) => (_policies, UnitCount) = (policies, unitCount);

    /// <summary>Nothing is made again.</summary>
    public static UnitRecompute None { get; } = All(RecomputePolicy.None);

    /// <summary>Units that it names one by one; null where it holds for any number.</summary>
    public int? UnitCount { get; }

    /// <summary>What all units drop; null where they differ.</summary>
    public RecomputePolicy? Everywhere => _policies.All(policy => policy == _policies[0]) ? _policies[0] : null;

    /// <summary>Whether nothing is made again.</summary>
    public bool IsNone => Everywhere is RecomputePolicy.None;

    /// <summary>Whether any unit drops exactly that.</summary>
    public bool Has(RecomputePolicy policy) => _policies.Contains(policy);

    /// <summary>How many units drop what, in a few words: the policy, or such as <c>4 full, 10 none</c>.</summary>
    public string Summary => Everywhere is { } policy
        ? Word(policy)
        : string.Join(", ", _policies.GroupBy(policy => policy).OrderByDescending(same => same.Key).Select(same => Text($"{same.Count()} {Word(same.Key)}")));

    /// <summary>What one unit drops.</summary>
    public RecomputePolicy this[int unit] => UnitCount is null ? _policies[0] : _policies[unit];

    /// <summary>The same for all units, however many there are.</summary>
    public static UnitRecompute All(RecomputePolicy policy) => new([policy], null);

    /// <summary>Each unit its own; at least one.</summary>
    public static UnitRecompute Of(IEnumerable<RecomputePolicy> policies)
    {
        ImmutableArray<RecomputePolicy> units = [.. policies];
        ArgumentOutOfRangeException.ThrowIfZero(units.Length, nameof(policies));
        return new UnitRecompute(units, units.Length);
    }

    /// <summary>Reads what <see cref="ToString"/> writes; null where it is neither a word nor pairs. A part without a number is one unit.</summary>
    public static UnitRecompute? Parse(string text)
    {
        if (Policy(text.Trim()) is { } policy) return All(policy);
        var units = ImmutableArray.CreateBuilder<RecomputePolicy>();
        foreach (var part in text.Split(',', StringSplitOptions.TrimEntries))
        {
            var (count, word) = part.IndexOf('x', StringComparison.Ordinal) is > 0 and var cut && int.TryParse(part.AsSpan(0, cut), NumberStyles.None, CultureInfo.InvariantCulture, out var number)
                ? (number, part[(cut + 1)..])
                : (1, part);
            if (Policy(word) is not { } own || count < 1 || count > MaxUnitCount - units.Count) return null;
            units.AddRange(Enumerable.Repeat(own, count));
        }

        return new UnitRecompute(units.ToImmutable(), units.Count);
    }

    /// <summary>The stages of a partition in which a unit drops something.</summary>
    public IEnumerable<int> StagesOf(IReadOnlyList<UnitRange> partition) => Enumerable.Range(0, partition.Count)
        .Where(stage => Enumerable.Range(partition[stage].Start, partition[stage].Count).Any(unit => this[unit] is not RecomputePolicy.None));

    /// <inheritdoc/>
    public bool Equals(UnitRecompute? other) => other is not null && UnitCount == other.UnitCount && _policies.SequenceEqual(other._policies);

    /// <inheritdoc/>
    public override int GetHashCode() => _policies.Aggregate(UnitCount ?? 0, HashCode.Combine);

    /// <inheritdoc/>
    public override string ToString()
    {
        if (UnitCount is null) return Word(_policies[0]);
        List<(RecomputePolicy Policy, int Count)> runs = [];
        foreach (var policy in _policies)
        {
            if (runs.Count > 0 && runs[^1].Policy == policy) runs[^1] = (policy, runs[^1].Count + 1);
            else runs.Add((policy, 1));
        }

        return string.Join(", ", runs.Select(run => Text($"{run.Count}x{Word(run.Policy)}")));
    }

    private static string Word(RecomputePolicy policy) => s_words[(int)policy];

    private static RecomputePolicy? Policy(string word) => s_words.IndexOf(word) is >= 0 and var place ? (RecomputePolicy)place : null;

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
