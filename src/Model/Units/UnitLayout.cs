namespace Pipeline.Model.Units;

/// <summary>
/// Where the parameters of a unit lie in its flat buffers. Each starts at a 64-byte boundary, and those that decay come first. Gradient and
/// compute weights are of all parameters; moments, and in bf16 runs master weights, may be of some only: of those, the others left out.
/// A value.
/// </summary>
internal sealed class UnitLayout
{
    // 32 elements are 64 bytes of bf16 and two cache lines of fp32.
    private const int Alignment = 32;
    private readonly Dictionary<string, ParameterPlace> _places = new(StringComparer.Ordinal);

    /// <param name="parameters">In the unit's order.</param>
    /// <param name="owns">Whose optimizer state is wanted.</param>
    /// <param name="mastersEverything">Whether master weights are what is computed with, and so of all parameters.</param>
    internal UnitLayout(IReadOnlyList<ParameterSpec> parameters, Func<ParameterSpec, bool> owns, bool mastersEverything)
    {
        List<OptimizerRange> optimizer = [], masters = [];
        foreach (var spec in parameters.Where(spec => spec.Decay).Concat(parameters.Where(spec => !spec.Decay)))
        {
            var length = (spec.ElementCount + Alignment - 1) / Alignment * Alignment;
            var (isOwned, hasMaster) = (owns(spec), mastersEverything || spec.ComputesInMaster || owns(spec));
            var place = new ParameterPlace(Length, hasMaster ? MasterLength : null, isOwned ? MomentLength : null);
            if (!_places.TryAdd(spec.Name, place)) throw new ArgumentException($"Two parameters are named {spec.Name}.", nameof(parameters));
            var range = new OptimizerRange(Length, MasterLength, MomentLength, length, spec.Decay);
            if (isOwned) Append(optimizer, range);
            if (hasMaster) Append(masters, range with { MomentStart = MasterLength, Decays = false });
            Length += length;
            if (hasMaster) MasterLength += length;
            if (isOwned) MomentLength += length;
        }

        (OptimizerRanges, MasterRanges) = (optimizer, masters);
    }

    /// <summary>Elements of gradient and compute weights.</summary>
    internal long Length { get; }

    /// <summary>Elements of master weights.</summary>
    internal long MasterLength { get; }

    /// <summary>Elements of each moment.</summary>
    internal long MomentLength { get; }

    /// <summary>What the optimizer updates, as few ranges as can be.</summary>
    internal IReadOnlyList<OptimizerRange> OptimizerRanges { get; }

    /// <summary>What has master weights, as few ranges as can be.</summary>
    internal IReadOnlyList<OptimizerRange> MasterRanges { get; }

    /// <summary>Where a parameter lies.</summary>
    internal ParameterPlace this[ParameterSpec spec] => _places[spec.Name];

    /// <summary>Neighbours in every buffer that are treated alike are one range.</summary>
    private static void Append(List<OptimizerRange> ranges, OptimizerRange next)
    {
        if (ranges.Count > 0 && ranges[^1] is var last && last.Decays == next.Decays && last.Start + last.Length == next.Start
            && last.MasterStart + last.Length == next.MasterStart && last.MomentStart + last.Length == next.MomentStart)
        {
            ranges[^1] = last with { Length = last.Length + next.Length };
            return;
        }

        ranges.Add(next);
    }
}

/// <summary>Where one parameter begins in each of the flat buffers.</summary>
/// <param name="Offset">In gradient and compute weights.</param>
/// <param name="MasterOffset">In the master weights; null where it has none.</param>
/// <param name="MomentOffset">In the moments; null where it has none.</param>
internal readonly record struct ParameterPlace(long Offset, long? MasterOffset, long? MomentOffset);

/// <summary>Elements that lie together in every flat buffer and are treated alike.</summary>
/// <param name="Start">First in gradient and compute weights.</param>
/// <param name="MasterStart">First in the master weights.</param>
/// <param name="MomentStart">First in the moments.</param>
/// <param name="Length">How many: whole vectors.</param>
/// <param name="Decays">Whether they decay.</param>
internal readonly record struct OptimizerRange(long Start, long MasterStart, long MomentStart, long Length, bool Decays);
