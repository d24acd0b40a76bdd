using Pipeline.Protocol;
using Pipeline.Runs;

namespace Pipeline.Cli.Execution;

/// <summary>Compares the hashes of two states.</summary>
internal static class DigestComparison
{
    /// <summary>The first tensor in the model's order that differs; null where the states agree.</summary>
    public static DigestDifference? Between(StepDigests left, StepDigests right) => DigestDifference.First([left], [right]);

    /// <summary>The hashes of a computed state, in the form in which a run stores them.</summary>
    public static StepDigests Stored(long step, IEnumerable<ParameterDigest> digests) =>
        new(step, [.. digests.Select(digest => new TensorDigest(digest.Unit, digest.Parameter, digest.Weight, digest.FirstMoment, digest.SecondMoment))]);

    /// <summary>The tensor's full name: moments as they are called in checkpoints.</summary>
    public static string NameOf(DigestDifference difference) => difference.Part switch
    {
        "weight" => difference.Tensor,
        "presence" => $"{difference.Tensor} (absent in one of them)",
        _ => $"{difference.Tensor}.{difference.Part}",
    };
}
