using System.IO.Hashing;
using System.Text;
using MessagePack;

namespace Pipeline.Protocol;

/// <summary>Hashes of one parameter and its optimizer state: XXH3-128 of the bytes, 32 hexadecimal digits.</summary>
/// <param name="Unit">Name of the unit that owns it.</param>
/// <param name="Parameter">Full name of the parameter.</param>
/// <param name="Weight">Hash of the master weight.</param>
/// <param name="FirstMoment">Hash of the first moment; null where there is none.</param>
/// <param name="SecondMoment">Hash of the second moment; null where there is none.</param>
/// <param name="UnitIndex">Place of the unit in the model: a rank's stages need not follow each other.</param>
/// <param name="ParameterIndex">Place of the parameter in the unit: replicas may share a unit's optimizer state.</param>
[MessagePackObject]
public sealed record ParameterDigest(
    [property: Key(0)] string Unit,
    [property: Key(1)] string Parameter,
    [property: Key(2)] string Weight,
    [property: Key(3)] string? FirstMoment,
    [property: Key(4)] string? SecondMoment,
    [property: Key(5)] int UnitIndex = 0,
    [property: Key(6)] int ParameterIndex = 0)
{
    /// <summary>One hash a unit, over the names and hashes of its parameters in their order.</summary>
    public static IReadOnlyDictionary<string, string> ByUnit(IEnumerable<ParameterDigest> digests) =>
        digests.GroupBy(digest => digest.Unit, StringComparer.Ordinal)
            .ToDictionary(unit => unit.Key, unit => Combined(unit), StringComparer.Ordinal);

    private static string Combined(IEnumerable<ParameterDigest> digests)
    {
        XxHash128 hash = new();
        foreach (var digest in digests)
            hash.Append(Encoding.UTF8.GetBytes($"{digest.Parameter} {digest.Weight} {digest.FirstMoment} {digest.SecondMoment}\n"));
        return Convert.ToHexStringLower(hash.GetCurrentHash());
    }
}
