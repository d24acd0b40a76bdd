using Pipeline.Coordinator;
using TorchSharp;

namespace Pipeline.Bench.Measures;

/// <summary>Keeps the committed steps of a run, with the process's size at some of them.</summary>
/// <param name="sampleEvery">Steps between samples of the process; 0 for none.</param>
internal sealed class StepLog(int sampleEvery = 0) : IRunObserver
{
    private readonly List<StepSummary> _steps = [];
    private readonly List<ProcessSample> _samples = [];

    /// <summary>Committed steps in order.</summary>
    public IReadOnlyList<StepSummary> Steps => _steps;

    /// <summary>The process after every so many steps.</summary>
    public IReadOnlyList<ProcessSample> Samples => _samples;

    /// <inheritdoc/>
    public void OnNotice(RunNotice notice)
    {
        if (notice is not RunNotice.StepCommitted { Step: var step }) return;
        _steps.Add(step);
        if (sampleEvery > 0 && step.Step % sampleEvery == 0) _samples.Add(new ProcessSample(step.Step, Environment.WorkingSet, LeastTensors(step)));
    }

    /// <summary>The run's steps, or its error.</summary>
    /// <exception cref="InvalidOperationException">The run failed.</exception>
    public static void ThrowUnlessCompleted(RunOutcome outcome)
    {
        if (outcome.End != RunEnd.Completed) throw new InvalidOperationException($"The measured run failed after step {outcome.Step}: {outcome.Error}");
    }

    // The other stages work on while one counts: the least count of a step is the nearest to a stage at rest.
    private static long LeastTensors(StepSummary step) => step.Ranks.Select(rank => rank.LiveTensorCount).Append(torch.Tensor.TotalCount).Min();
}

/// <summary>The process at one moment.</summary>
/// <param name="Step">After this step.</param>
/// <param name="ResidentBytes">Resident size.</param>
/// <param name="LiveTensorCount">Tensors alive.</param>
internal sealed record ProcessSample(long Step, long ResidentBytes, long LiveTensorCount);
