namespace Pipeline.Model.Training;

/// <summary>What a rank holds of each parameter that it computes with, buckets and kept messages apart.</summary>
public static class ParameterBytes
{
    private const double Compute = 4;
    private const double Bf16Compute = 2;
    private const double Gradient = 4;
    private const double Master = 4;
    private const double Moments = 8;

    /// <summary>Bytes a parameter: in fp32 the master weights are what is computed with.</summary>
    /// <param name="precision">Arithmetic.</param>
    /// <param name="optimizerShards">Replicas that share moments, and in bf16 master weights, out; 1 where each holds all.</param>
    /// <param name="gradientShards">Replicas that share gradients out; 1 where each holds all.</param>
    public static double Of(Precision precision, int optimizerShards, int gradientShards) =>
        (precision == Precision.Bf16 ? Bf16Compute + Master / optimizerShards : Compute) + Gradient / gradientShards + Moments / optimizerShards;
}
