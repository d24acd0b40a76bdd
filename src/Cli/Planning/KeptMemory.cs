using Pipeline.Model.Training;
using Pipeline.Model.Units;
using TorchSharp;

namespace Pipeline.Cli.Planning;

/// <summary>
/// Measures the activations that units keep for their backward: many forwards are held at once, and the process's resident memory
/// says what they take. Where it cannot say that (another system, units too small to stand out), the reckoning from shapes stays.
/// </summary>
internal static class KeptMemory
{
    private const long WantedBytes = 96 << 20;
    private const int MaxPassCount = 256;

    // Below this the allocator's own comings and goings drown it.
    private const long LeastBytes = 16 << 20;

    /// <summary>Bytes of a micro-batch that each unit keeps, its output left out: that is the next unit's input.</summary>
    /// <param name="models">One unit each, in the model's order.</param>
    /// <param name="batches">Micro-batches.</param>
    /// <param name="reckoned">What shapes say of each unit: how many passes are needed, and the answer where measuring fails.</param>
    /// <param name="outputBytes">Of each unit's output.</param>
    /// <param name="recompute">What the units drop.</param>
    public static long[] Measure(
        StageModel[] models, RandomBatches batches, IReadOnlyList<long> reckoned, IReadOnlyList<long> outputBytes, Recomputation recompute = Recomputation.None)
    {
        var kept = reckoned.ToArray();
        using var microBatch = batches.Training(1, 0, torch.CPU);
        torch.Tensor? input = null;
        for (var index = 0; index < models.Length; index++)
        {
            kept[index] = Measure(models[index], microBatch, input, reckoned[index], index == models.Length - 1 ? 0 : outputBytes[index], recompute);
            var output = Output(models[index], microBatch, input);
            input?.Dispose();
            input = output;
        }

        input?.Dispose();
        return kept;
    }

    private static long Measure(StageModel model, MicroBatch microBatch, torch.Tensor? input, long reckoned, long outputBytes, Recomputation recompute)
    {
        var count = (int)Math.Clamp(WantedBytes / Math.Max(1, reckoned), 4, MaxPassCount);
        var held = new List<(ForwardPass Pass, torch.Tensor? Input)>(count);
        try
        {
            if (ResidentBytes() is not { } before) return reckoned;
            for (var index = 0; index < count; index++)
            {
                // In a run every micro-batch has an input of its own.
                var own = input?.clone();
                held.Add((model.Forward(microBatch, own, PassMode.Train, recompute: [recompute]), own));
            }

            var grown = ResidentBytes() is { } after ? after - before : 0;
            return grown < LeastBytes ? reckoned : Math.Max(0, (grown / count) - outputBytes);
        }
        finally
        {
            foreach (var (pass, own) in held)
            {
                pass.Dispose();
                own?.Dispose();
            }
        }
    }

    private static torch.Tensor? Output(StageModel model, MicroBatch microBatch, torch.Tensor? input)
    {
        if (model.IsLast) return null;
        using var pass = model.Forward(microBatch, input, PassMode.Train);
        using var output = pass.DetachedOutput();
        return output.clone();
    }

    private static long? ResidentBytes()
    {
        try
        {
            return long.Parse(File.ReadAllText("/proc/self/statm").Split(' ')[1], System.Globalization.CultureInfo.InvariantCulture) * Environment.SystemPageSize;
        }
        catch (Exception absent) when (absent is IOException or UnauthorizedAccessException or FormatException)
        {
            return null;
        }
    }
}
