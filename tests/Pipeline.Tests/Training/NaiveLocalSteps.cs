using System.Runtime.InteropServices;
using Pipeline.Model.Numerics;
using Pipeline.Model.Training;
using Pipeline.Model.Units;
using Pipeline.Reduction;
using Pipeline.Stages;
using Pipeline.Training;
using TorchSharp;

namespace Pipeline.Tests.Training;

/// <summary>
/// Local steps as they are defined, one replica after the other on whole models: own AdamW steps, then every so many of them SGD with Nesterov's
/// momentum on the mean of what all have moved, element by element.
/// </summary>
internal static class NaiveLocalSteps
{
    internal static IReadOnlyList<ReferenceStep> Train(TrainingPlan plan)
    {
        TorchRuntime.Initialize();
        TorchRuntime.UseThreads(1);
        var models = Enumerable.Range(0, plan.ReplicaCount).Select(_ => new StageModel(plan.Units, 0, plan.Units.Count, new StageOptions(plan.Precision, torch.CPU, plan.Seed))).ToArray();
        try
        {
            var outer = new Outer(models, plan.Reduction.Outer!);
            List<ReferenceStep> steps = [];
            for (var step = 1L; step <= plan.Steps; step++)
            {
                var result = Inner(plan, models, step);
                if (step % plan.Reduction.Outer!.Every == 0) outer.Step();
                steps.Add(new ReferenceStep(result, StateDigest.Of(models[0]), new ReferenceTrainer(models[0], plan.Batches, plan.Optimizer).Evaluate(2)));
            }

            return steps;
        }
        finally
        {
            foreach (var model in models) model.Dispose();
        }
    }

    private static StepResult Inner(TrainingPlan plan, StageModel[] models, long step)
    {
        var share = plan.Batches.MicroBatchCount / models.Length;
        var (lossSum, tokens) = (0.0, new long[models.Length]);
        for (var replica = 0; replica < models.Length; replica++)
        {
            for (var index = replica * share; index < (replica + 1) * share; index++)
            {
                using var microBatch = plan.Batches.Training(step, index, torch.CPU);
                var pass = models[replica].Forward(microBatch, null, PassMode.Train);
                lossSum += pass.LossSum();
                tokens[replica] += microBatch.TokenCount;
                models[replica].Backward(pass, null);
            }

            models[replica].SumLocalTies();
        }

        var squares = models.Select(model => model.SquaredNorms()).Aggregate((left, right) => [.. left.Zip(right, (one, other) => one + other)]);
        var norm = GlobalNorm.Of(squares, tokens.Sum()) * Math.Sqrt(models.Length);
        for (var replica = 0; replica < models.Length; replica++) models[replica].OptimizerStep(step, plan.Optimizer, plan.Optimizer.GradientFactor(norm, tokens[replica]));
        return new StepResult(step, lossSum / tokens.Sum(), norm, plan.Optimizer.LearningRateAt(step), tokens.Sum());
    }

    private sealed class Outer(StageModel[] models, OuterStep settings)
    {
        private readonly float[][] _shared = [.. Weights(models[0]).Select(weight => Floats(weight).ToArray())];
        private readonly float[][] _momentum = [.. Weights(models[0]).Select(weight => new float[weight.numel()])];

        internal void Step()
        {
            var weights = models.Select(model => Weights(model).ToArray()).ToArray();
            for (var parameter = 0; parameter < _shared.Length; parameter++)
            {
                var (shared, momentum) = (_shared[parameter], _momentum[parameter]);
                for (var index = 0; index < shared.Length; index++)
                {
                    var moved = Sum([.. weights.Select(replica => shared[index] - Floats(replica[parameter])[index])]) * (1f / models.Length);
                    momentum[index] = (float)settings.Momentum * momentum[index] + moved;
                    shared[index] -= (float)settings.LearningRate * (moved + (float)settings.Momentum * momentum[index]);
                }

                foreach (var replica in weights) shared.CopyTo(Floats(replica[parameter]));
            }

            foreach (var model in models)
            {
                foreach (var tie in model.Ties.Where(tie => !tie.IsOwner)) Floats(model.Ties.Single(other => other.IsOwner && other.Group == tie.Group).Parameter.Master).CopyTo(Floats(tie.Parameter.Master));
                model.StateLoaded();
            }
        }

        /// <summary>Neighbours in pairs, sums in pairs, a last one goes up unchanged.</summary>
        private static float Sum(float[] leaves) =>
            leaves.Length == 1 ? leaves[0] : Sum([.. leaves.Chunk(2).Select(pair => pair.Length == 2 ? pair[0] + pair[1] : pair[0])]);

        private static IEnumerable<torch.Tensor> Weights(StageModel model) =>
            model.Units.SelectMany(unit => unit.Parameters).Where(parameter => parameter.Spec.TiedTo is null).Select(parameter => parameter.Master);

        private static Span<float> Floats(torch.Tensor tensor) => MemoryMarshal.Cast<byte, float>(tensor.bytes);
    }
}
