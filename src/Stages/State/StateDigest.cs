using System.IO.Hashing;
using Pipeline.Model.Training;
using Pipeline.Model.Units;
using Pipeline.Protocol;
using TorchSharp;
using static TorchSharp.torch;

namespace Pipeline.Stages;

/// <summary>
/// Hashes of weights and moments, so that two runs can be compared step by step and the first unit and tensor that part be named.
/// The same for every layout: a tied parameter counts at its owner only.
/// </summary>
public static class StateDigest
{
    private const long PieceLength = 1 << 26;

    /// <summary>The hashes of every parameter that a stage owns, in model order; of those whose optimizer state another replica has it says nothing.</summary>
    public static IReadOnlyList<ParameterDigest> Of(StageModel model) =>
        [.. model.Units.SelectMany(unit => unit.Parameters.Where(parameter => parameter.Spec.TiedTo is null && parameter.IsOwned).Select(parameter => Of(unit, parameter)))];

    private static ParameterDigest Of(UnitState unit, ParameterState parameter) => new(
        unit.Unit.Name,
        parameter.FullName,
        HashOf(parameter.Master),
        unit.Trains ? HashOf(parameter.FirstMoment) : null,
        unit.Trains ? HashOf(parameter.SecondMoment) : null,
        unit.Index,
        unit.Parameters.Index().First(entry => entry.Item == parameter).Index);

    private static string HashOf(Tensor tensor)
    {
        using var guard = no_grad();
        using var scope = NewDisposeScope();
        var onHost = (tensor.device_type == DeviceType.CPU ? tensor : tensor.cpu()).reshape(-1);
        XxHash128 hash = new();
        for (long start = 0; start < onHost.numel(); start += PieceLength)
        {
            using var piece = onHost.narrow(0, start, Math.Min(PieceLength, onHost.numel() - start));
            hash.Append(piece.bytes);
        }

        return Convert.ToHexStringLower(hash.GetCurrentHash());
    }
}
