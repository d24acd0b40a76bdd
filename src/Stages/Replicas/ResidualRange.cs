using System.Globalization;
using System.Text.RegularExpressions;

namespace Pipeline.Stages;

/// <summary>
/// Which part of a bucket's gradient a residual belongs to, and who has lost it: named by its place in the bucket, so that it is found again
/// when other replicas send other ranges. A value.
/// </summary>
/// <param name="Bucket">Unit that names the bucket.</param>
/// <param name="From">The replica that sends; -1 for a sum that goes back.</param>
/// <param name="Start">First element in the bucket.</param>
/// <param name="Length">Number of elements.</param>
internal sealed partial record ResidualRange(int Bucket, int From, int Start, int Length)
{
    internal int End => Start + Length;

    /// <summary>Its name in the run.</summary>
    internal string Name => From < 0
        ? FormattableString.Invariant($"unit-{Bucket}.answer.at-{Start}")
        : FormattableString.Invariant($"unit-{Bucket}.from-{From}.at-{Start}");

    internal bool Overlaps(ResidualRange other) => Start < other.End && other.Start < End;

    /// <summary>
    /// Whether a replica takes over what another one had lost of a range. Each keeps its own; those that are no more are shared out among those
    /// that are; and who completes the range, and so sends nothing of it any longer, leaves it to the next one. Each loss is taken once.
    /// </summary>
    /// <param name="self">Who asks.</param>
    /// <param name="from">Who had lost it.</param>
    /// <param name="owner">Who completes the range now; no replica where a reducer does.</param>
    /// <param name="count">Replicas now.</param>
    internal static bool Takes(int self, int from, int owner, int count)
    {
        var heir = from % count;
        return (heir == owner ? (owner + 1) % count : heir) == self;
    }

    /// <summary>The range that a name says; null where it says none.</summary>
    internal static ResidualRange? Parse(ReadOnlySpan<char> name, int length)
    {
        if (Pattern().Match(name.ToString()) is not { Success: true } match) return null;
        return new ResidualRange(NumberOf(match.Groups[1]), match.Groups[2].Success ? NumberOf(match.Groups[2]) : -1, NumberOf(match.Groups[3]), length);
    }

    private static int NumberOf(Group digits) => int.Parse(digits.ValueSpan, NumberStyles.None, CultureInfo.InvariantCulture);

    [GeneratedRegex("^unit-([0-9]{1,9})\\.(?:answer|from-([0-9]{1,9}))\\.at-([0-9]{1,9})$")]
    private static partial Regex Pattern();
}
