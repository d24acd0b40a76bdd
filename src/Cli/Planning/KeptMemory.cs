using Pipeline.Model.Numerics;
using Pipeline.Model.Training;
using Pipeline.Model.Units;
using TorchSharp;

namespace Pipeline.Cli.Planning;

/// <summary>
/// Measures the activations that units keep for their backward: some forwards are held at once, and the allocator says what they take.
/// Where it cannot say that (another system), the reckoning from shapes stays. Nothing else of the process may allocate tensors meanwhile.
/// </summary>
internal static class KeptMemory
{
    private const int PassCount = 4;

    /// <summary>Bytes of a micro-batch that each unit keeps, its output left out: that is the next unit's input.</summary>
    /// <param name="models">One unit each, in the model's order.</param>
    /// <param name="batches">Micro-batches.</param>
    /// <param name="reckoned">What shapes say of each unit: the answer where measuring fails.</param>
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
        var held = new List<(ForwardPass Pass, torch.Tensor? Input)>(PassCount);
        try
        {
            // The first pass lets the library set up what it keeps for good.
            Hold();
            if (NativeBytes.InUse() is not { } before) return reckoned;
            for (var index = 0; index < PassCount; index++) Hold();
            var grown = NativeBytes.InUse() is { } after ? after - before : 0;
            return grown <= 0 ? reckoned : Math.Max(0, (grown / PassCount) - outputBytes);
        }
        finally
        {
            foreach (var (pass, own) in held)
            {
                pass.Dispose();
                own?.Dispose();
            }
        }

        // In a run every micro-batch has an input of its own.
        void Hold()
        {
            var own = input?.clone();
            held.Add((model.Forward(microBatch, own, PassMode.Train, recompute: [recompute]), own));
        }
    }

    private static torch.Tensor? Output(StageModel model, MicroBatch microBatch, torch.Tensor? input)
    {
        if (model.IsLast) return null;
        using var pass = model.Forward(microBatch, input, PassMode.Train);
        using var output = pass.DetachedOutput();
        return output.clone();
    }
}
