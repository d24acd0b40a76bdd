using Pipeline.Reduction.Compression;

namespace Pipeline.Cli.Configuration;

/// <summary>Whether the unsplit trainer computes the same bits as a run with given settings.</summary>
internal static class UnsplitEquality
{
    /// <summary>Why it does not, to follow "since"; null where it does.</summary>
    public static string? Obstacle(RunSettings settings)
    {
        var (step, reduction) = (settings.Step, settings.Reduction);
        if (step.ReplicaCount > 1 && reduction.Outer is not null)
            return $"replicas take steps of their own, which the unsplit trainer has no weights for. Expected {ReductionKeys.LocalSteps} = 1";
        if (step.ReplicaCount > 1 && reduction.IsLossy)
            return $"gradients are compressed between replicas, and the unsplit trainer cannot recompute what is lost. Expected {ReductionKeys.Kind} and {ReductionKeys.Answer} = none";
        if (step.MostStages > 1 && reduction.Activations.Kind != CompressionKind.None)
            return $"activations are compressed between stages, and the unsplit trainer, which has none of these boundaries, cannot recompute what is lost. Expected {ReductionKeys.Activations} = none";
        return null;
    }
}
