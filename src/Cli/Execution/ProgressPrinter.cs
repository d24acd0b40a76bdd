using System.Globalization;
using Pipeline.Coordinator;

namespace Pipeline.Cli.Execution;

/// <summary>
/// One line of progress: rewritten in place on a terminal, a plain line now and then elsewhere. Evaluations, checkpoints and alarms get
/// lines of their own.
/// </summary>
/// <param name="output">Where lines go.</param>
/// <param name="isTerminal">Whether a line can be rewritten.</param>
/// <param name="time">Clock of the pauses between plain lines and of the rate.</param>
/// <param name="endStep">Last step of the run.</param>
/// <param name="every">Steps between plain lines; 0 to choose by time.</param>
/// <param name="bitsPerByte">From nats per token to bits per byte.</param>
internal sealed class ProgressPrinter(TextWriter output, bool isTerminal, TimeProvider time, long endStep, int every, Func<double, double> bitsPerByte) : IRunObserver
{
    private static readonly TimeSpan Pause = TimeSpan.FromSeconds(5);
    private readonly Queue<double> _recentSeconds = [];
    private long _lastPrinted;
    private bool _lineIsOpen;
    private bool _isFirst = true;

    public void OnNotice(RunNotice notice)
    {
        switch (notice)
        {
            case RunNotice.StepCommitted { Step: var step }:
                OnStep(step);
                break;
            case RunNotice.Evaluated evaluated:
                Print(Invariant($"step {evaluated.AfterStep,6}  validation loss {evaluated.Loss:F4}  {bitsPerByte(evaluated.Loss):F4} bits/byte"));
                break;
            case RunNotice.CheckpointSaved saved:
                Print(Invariant($"step {saved.Step,6}  checkpoint saved, {saved.ByteCount / 1048576.0:F1} MiB"));
                break;
            case RunNotice.SaveFailed failed:
                Print(Invariant($"step {failed.Step,6}  ALARM: the checkpoint could not be saved: {failed.Message}"));
                break;
            case RunNotice.Recovering recovering:
                Print($"recovering, generation {recovering.Generation}: {recovering.Reason}");
                break;
            case RunNotice.Recovered recovered:
                Print(Invariant($"recovered in {(recovered.Placement + recovered.Loading + recovered.Replay).TotalSeconds:F2} s"));
                break;
            case RunNotice.Warned warned:
                Print(Invariant($"step {warned.Step,6}  {warned.Kind}: {warned.Message}"));
                break;
            case RunNotice.ReplicasChanged changed:
                Print(Invariant($"step {changed.Step,6}  {changed.To} instead of {changed.From} replicas: {changed.Reason}"));
                break;
            case RunNotice.RolledBack back:
                Print(Invariant($"step {back.Step,6}  rolled back, generation {back.Generation}: {back.Reason}"));
                break;
            case RunNotice.UnitsMoved moved:
                Print(Invariant($"step {moved.Step,6}  units moved: stages of {string.Join(" + ", moved.UnitCounts)} units"));
                break;
            case RunNotice.Stopping stopping:
                Print(Invariant($"stopping after step {stopping.EndStep}, saving first"));
                break;
        }
    }

    private void OnStep(StepSummary step)
    {
        _recentSeconds.Enqueue(step.Seconds);
        if (_recentSeconds.Count > 20) _recentSeconds.Dequeue();
        var isDue = every > 0 ? step.Step % every == 0 : time.GetElapsedTime(_lastPrinted) >= Pause;
        if (!isTerminal && !isDue && !_isFirst && step.Step != endStep) return;
        _isFirst = false;
        _lastPrinted = time.GetTimestamp();
        var seconds = _recentSeconds.Average();
        var left = TimeSpan.FromSeconds(Math.Round(seconds * (endStep - step.Step)));
        var line = Invariant($"step {step.Step,6}/{endStep}  loss {step.Loss:F4}  norm {step.GradientNorm:F3}  lr {step.LearningRate:0.00E+0}  ")
            + Invariant($"{step.TokenCount / seconds:N0} tokens/s  bubble {step.Bubble:P1}  ETA {left:c}");
        if (!isTerminal)
        {
            output.WriteLine(line);
            return;
        }

        output.Write("\r\u001b[K" + line);
        _lineIsOpen = true;
        if (step.Step == endStep) Close();
    }

    private void Print(string line)
    {
        Close();
        output.WriteLine(line);
    }

    private void Close()
    {
        if (!_lineIsOpen) return;
        output.WriteLine();
        _lineIsOpen = false;
    }

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
