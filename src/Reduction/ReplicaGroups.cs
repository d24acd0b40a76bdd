using System.Globalization;

namespace Pipeline.Reduction;

/// <summary>
/// Replicas by group, as people write them: the replicas of a group joined by commas or as FROM-THROUGH, groups joined by semicolons, as in
/// <c>0-3;4,6;5,7</c>. A value, equal to another of the same groups in the same order.
/// </summary>
public sealed record ReplicaGroups
{
    private readonly IReadOnlyList<IReadOnlyList<int>> _groups;

    private ReplicaGroups(IReadOnlyList<IReadOnlyList<int>> groups) => (_groups, Text) = (groups, string.Join(';', groups.Select(group => string.Join(',', group))));

    /// <summary>The groups in their plain spelling.</summary>
    public string Text { get; }

    /// <summary>Replicas of all groups.</summary>
    public int ReplicaCount => _groups.Sum(group => group.Count);

    /// <summary>Reads groups; null where the text is none, or a replica is missing or named twice.</summary>
    public static ReplicaGroups? Parse(string text)
    {
        List<IReadOnlyList<int>> groups = [];
        foreach (var group in text.Split(';'))
        {
            List<int> replicas = [];
            foreach (var part in group.Split(','))
            {
                var ends = part.Split('-');
                if (ends.Length > 2 || !TryParse(ends[0], out var from) || !TryParse(ends[^1], out var through) || through < from) return null;
                replicas.AddRange(Enumerable.Range(from, through - from + 1));
            }

            groups.Add([.. replicas.Order()]);
        }

        int[] all = [.. groups.SelectMany(group => group).Order()];
        return all.SequenceEqual(Enumerable.Range(0, all.Length)) ? new ReplicaGroups(groups) : null;
    }

    /// <summary>The groups of the first replicas; those that are left without any are none.</summary>
    /// <param name="replicaCount">Replicas, each of which forms a group of its own where none is named for it.</param>
    internal IReadOnlyList<IReadOnlyList<int>> Among(int replicaCount)
    {
        IEnumerable<IReadOnlyList<int>> named = _groups.Select(group => group.Where(replica => replica < replicaCount).ToArray()).Where(group => group.Length > 0);
        var others = Enumerable.Range(0, replicaCount).Skip(ReplicaCount).Select(replica => new[] { replica });
        return [.. named, .. others];
    }

    /// <inheritdoc/>
    public bool Equals(ReplicaGroups? other) => other?.Text == Text;

    /// <inheritdoc/>
    public override int GetHashCode() => string.GetHashCode(Text, StringComparison.Ordinal);

    private static bool TryParse(string text, out int replica) => int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out replica) && replica < 1024;
}
