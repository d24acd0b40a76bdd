using System.Diagnostics;
using Pipeline.Cli.Configuration;
using Pipeline.Cli.Machine;
using Pipeline.Model.Numerics;
using Pipeline.Model.Training;
using Pipeline.Model.Units;
using Pipeline.Schedules;
using TorchSharp;

namespace Pipeline.Cli.Planning;

/// <summary>
/// Measures what each unit costs with the kernels that train it: forward, whole backward, its two halves, optimizer. Every thread
/// holds the whole model and runs it unit by unit, as many threads at once as the pipeline has ranks, since ranks share caches and
/// memory; what counts is the mean over the rounds of all threads and of all units alike: an action's time is a sum over units, and where a
/// machine hiccups now and then only means add up. It takes the budget for each size, or a few rounds.
/// </summary>
/// <param name="settings">The run's.</param>
/// <param name="units">The model.</param>
/// <param name="budget">Time for each size.</param>
/// <param name="cancellation">Ends it between two rounds.</param>
internal sealed class UnitProfiler(RunSettings settings, IReadOnlyList<Unit> units, TimeSpan budget, CancellationToken cancellation = default)
{
    private const int WarmUpRounds = 2;
    private const int MinRounds = 5;

    // Of a model whose rounds take seconds a few say enough: what disturbs them is short beside them.
    private const int FewestRounds = 2;
    private const int PatienceOfBudgets = 2;

    private readonly StageOptions _options = new(settings.Arithmetic(), torch.CPU, (ulong)settings.Seed);

    /// <summary>The units' costs for a size of micro-batch.</summary>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    public List<UnitProfile> Measure(int microBatchSize)
    {
        var threads = ProbeThread.Run(settings.Step.StageCount, () => Rounds(microBatchSize));
        UnitSizes[] sizes = [.. units.Select(unit => UnitSizes.Of(unit, settings, microBatchSize))];
        var (kept, selective) = ProbeThread.Run(1, () => (Kept(microBatchSize, sizes), Kept(microBatchSize, sizes, Recomputation.Selective)))[0];
        // Units of one kind and size do the same work. Told apart, what disturbed one of them by chance would shift the cuts between stages.
        var alike = units.Select((unit, index) => (Kind: Kind(unit), index)).ToLookup(pair => pair.Kind, pair => pair.index);
        return [.. units.Select((unit, index) => Profile(
            unit, [.. threads.SelectMany(rounds => rounds).SelectMany(round => alike[Kind(unit)].Select(other => round[other]))], sizes[index], kept[index], Math.Min(kept[index], selective[index])))];
    }

    private static UnitProfile Profile(Unit unit, UnitTimes[] rounds, UnitSizes sizes, long kept, long selective)
    {
        return new UnitProfile
        {
            Name = unit.Name,
            Forward = Mean(times => times.Forward),
            Backward = Mean(times => times.Backward),
            InputGradient = Mean(times => times.InputGradient),
            WeightGradient = Mean(times => times.WeightGradient),
            Optimizer = Mean(times => times.Optimizer),
            KeptBytes = kept,
            SelectiveKeptBytes = selective,
            SelectiveRecompute = Mean(times => times.SelectiveRecompute),
            DeferredBytes = kept,
            OutputBytes = sizes.OutputBytes,
            StateBytes = sizes.StateBytes,
            GradientBytes = sizes.ParameterCount * 4,
        };

        double Mean(Func<UnitTimes, double> time) => SteadyMean.Of(rounds.Select(time));
    }

    private static string Kind(Unit unit) =>
        FormattableString.Invariant($"{unit.GetType()} {unit.Cost} {unit.KeptElementsPerToken} {string.Join(' ', unit.Parameters.Select(parameter => $"{parameter.Name}[{string.Join(',', parameter.Shape)}]"))}");

    private StageModel[] Models() => [.. units.Select((_, index) => new StageModel(units, index, 1, _options))];

    private long[] Kept(int microBatchSize, UnitSizes[] sizes, Recomputation recompute = Recomputation.None)
    {
        var models = Models();
        try
        {
            return KeptMemory.Measure(
                models, new RandomBatches(settings.Model, 1, microBatchSize), [.. sizes.Select(size => size.KeptBytes)], [.. sizes.Select(size => size.OutputBytes)], recompute);
        }
        finally
        {
            foreach (var model in models) model.Dispose();
        }
    }

    private List<UnitTimes[]> Rounds(int microBatchSize)
    {
        TorchRuntime.UseThreads(settings.ThreadsPerStage);
        var models = Models();
        try
        {
            var chain = new ProfiledChain(models, settings, microBatchSize);
            var warming = Stopwatch.GetTimestamp();
            chain.Run(1);
            for (var round = 1; round < WarmUpRounds && !cancellation.IsCancellationRequested && Stopwatch.GetElapsedTime(warming) < budget; round++) chain.Run(round + 1);
            List<UnitTimes[]> rounds = [];
            var begun = Stopwatch.GetTimestamp();
            while (rounds.Count < FewestRounds || Stopwatch.GetElapsedTime(begun) is var passed && (passed < budget || (rounds.Count < MinRounds && passed < PatienceOfBudgets * budget)))
            {
                cancellation.ThrowIfCancellationRequested();
                rounds.Add(chain.Run(WarmUpRounds + rounds.Count + 1));
            }

            return rounds;
        }
        finally
        {
            foreach (var model in models) model.Dispose();
        }
    }
}

/// <summary>Seconds of one unit in one round.</summary>
internal record struct UnitTimes(double Forward, double Backward, double InputGradient, double WeightGradient, double Optimizer, double SelectiveRecompute);

/// <summary>
/// A model as single units, one after the other: one round passes a micro-batch through it three times: whole, split, and whole with
/// selective recomputation.
/// </summary>
internal sealed class ProfiledChain(StageModel[] models, RunSettings settings, int microBatchSize)
{
    private static readonly Recomputation[] s_selective = [Recomputation.Selective];

    private readonly RandomBatches _batches = new(settings.Model, 1, microBatchSize);

    /// <summary>Runs a round and says how long each unit took.</summary>
    public UnitTimes[] Run(int step)
    {
        var times = new UnitTimes[models.Length];
        Pass(step, times, isSplit: false);
        Pass(step, times, isSplit: true);
        var others = new UnitTimes[models.Length];
        Pass(step, others, isSplit: false, s_selective);
        for (var index = 0; index < models.Length; index++) times[index].SelectiveRecompute = others[index].SelectiveRecompute;
        for (var index = 0; index < models.Length; index++)
        {
            var model = models[index];
            // The step's end: the squares of the gradients' norm, then the update.
            times[index].Optimizer = Seconds(() =>
            {
                model.SquaredNorms();
                model.OptimizerStep(step, settings.Optimizer, 1e-3);
            });
        }

        return times;
    }

    private void Pass(int step, UnitTimes[] times, bool isSplit, Recomputation[]? recompute = null)
    {
        using var microBatch = _batches.Training(step, 0, torch.CPU);
        var passes = new List<ForwardPass>();
        torch.Tensor? hidden = null;
        for (var index = 0; index < models.Length; index++)
        {
            var (model, input) = (models[index], hidden);
            times[index].Forward = Seconds(() => passes.Add(model.Forward(microBatch, input, PassMode.Train, recompute: recompute)));
            input?.Dispose();
            hidden = model.IsLast ? null : passes[index].DetachedOutput();
        }

        torch.Tensor? gradient = null;
        for (var index = models.Length - 1; index >= 0; index--)
        {
            var (former, model, pass) = (gradient, models[index], passes[index]);
            if (recompute is not null) times[index].SelectiveRecompute = Seconds(() => model.Recompute(pass));
            gradient = isSplit ? Split(index, passes[index], former, ref times[index]) : Whole(index, passes[index], former, ref times[index]);
            former?.Dispose();
        }

        gradient?.Dispose();
    }

    private torch.Tensor? Whole(int index, ForwardPass pass, torch.Tensor? outputGradient, ref UnitTimes times)
    {
        torch.Tensor? gradient = null;
        times.Backward = Seconds(() => gradient = models[index].Backward(pass, outputGradient));
        return gradient;
    }

    private torch.Tensor? Split(int index, ForwardPass pass, torch.Tensor? outputGradient, ref UnitTimes times)
    {
        torch.Tensor? gradient = null;
        MicroBatchLeaf? leaf = null;
        times.InputGradient = Seconds(() => (gradient, leaf) = models[index].BackwardInput(pass, outputGradient));
        times.WeightGradient = Seconds(() => leaf!.Add());
        leaf!.Dispose();
        return gradient;
    }

    private static double Seconds(Action action)
    {
        var start = Stopwatch.GetTimestamp();
        action();
        return Stopwatch.GetElapsedTime(start).TotalSeconds;
    }
}
