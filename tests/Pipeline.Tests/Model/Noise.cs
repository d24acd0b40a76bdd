using static TorchSharp.torch;

namespace Pipeline.Tests.Model;

/// <summary>Random tensors that are the same in every run: those of the library's own generator depend on which tests draw from it at the same time.</summary>
internal static class Noise
{
    /// <summary>Numbers of the standard normal distribution.</summary>
    internal static Tensor Normal(ulong seed, params long[] shape)
    {
        using var generator = new Generator(seed, CPU);
        return randn(shape, generator: generator);
    }

    /// <summary>Numbers from 0 to 1.</summary>
    internal static Tensor Uniform(ulong seed, params long[] shape)
    {
        using var generator = new Generator(seed, CPU);
        return rand(shape, generator: generator);
    }
}
