using System.Globalization;
using Pipeline.Reduction;
using static Pipeline.Protocol.StageProtocol;

namespace Pipeline.Coordinator;

/// <summary>Whether compression pays, and why.</summary>
/// <param name="IsKept">Whether the run goes on with it.</param>
/// <param name="Message">A sentence with what was measured.</param>
internal sealed record CompressionDecision(bool IsKept, string Message);

/// <summary>
/// Compares the steps of a trial: compression stays where the time that it saves, waiting for other replicas, is more than what it takes, so that the
/// step is shorter. Pure.
/// </summary>
/// <param name="trial">Which steps are compared.</param>
internal sealed class CompressionWatch(CompressionTrial trial)
{
    /// <summary>Shorter by less than this is not shorter: medians of a few steps vary by as much.</summary>
    private const double LeastGain = 0.02;

    private const int LeastCount = 3;
    private const double BytesPerMebibyte = 1 << 20;
    private readonly List<Exchange> _plain = [];
    private readonly List<Exchange> _compressed = [];
    private bool _isOver;

    /// <summary>A step of all ranks.</summary>
    internal void Enter(IReadOnlyList<StepCompleted> reports)
    {
        var step = reports[0].Step;
        _isOver = step >= trial.Last;
        if (!trial.Counts(step)) return;
        (trial.CompressesAt(step) == true ? _compressed : _plain).Add(new Exchange(
            reports.Max(report => report.Timing.Seconds), reports.Max(report => report.Timing.BusySeconds), reports.Max(report => report.Timing.ExposedSeconds),
            reports.Max(report => report.Timing.ExchangedBytes)));
    }

    /// <summary>The outcome, once the trial is over; null before.</summary>
    internal CompressionDecision? Decide()
    {
        if (!_isOver) return null;
        // A run that was resumed in the middle has not seen both.
        if (_plain.Count < LeastCount || _compressed.Count < LeastCount) return new CompressionDecision(true, "Compression stays on: too few steps of the trial were seen to compare.");
        var (without, with) = (Exchange.Median(_plain), Exchange.Median(_compressed));
        var isKept = with.Seconds < without.Seconds * (1 - LeastGain);
        return new CompressionDecision(isKept, string.Create(CultureInfo.InvariantCulture,
            $"A step takes {without.Seconds * 1e3:F1} ms without compression, {without.Exposed * 1e3:F1} of them waiting for other replicas ({without.Bytes / BytesPerMebibyte:F2} MiB{Rate(without)}), and {with.Seconds * 1e3:F1} ms with it, "
            + $"{with.Exposed * 1e3:F1} of them waiting ({with.Bytes / BytesPerMebibyte:F2} MiB): {(without.Exposed - with.Exposed) * 1e3:F1} ms saved for {(with.Busy - without.Busy) * 1e3:F1} ms of work. Compression {(isKept ? "stays on" : "is turned off")}."));
    }

    /// <summary>What the link carries at least: only what was waited for is known of its time.</summary>
    private static string Rate(Exchange exchange) => exchange.Exposed <= 0 ? "" : string.Create(CultureInfo.InvariantCulture, $", {exchange.Bytes / BytesPerMebibyte / exchange.Exposed:F0} MiB/s of waiting");

    /// <summary>Of one step, the slowest rank's.</summary>
    private readonly record struct Exchange(double Seconds, double Busy, double Exposed, double Bytes)
    {
        internal static Exchange Median(IReadOnlyList<Exchange> steps) =>
            new(Of(steps, step => step.Seconds), Of(steps, step => step.Busy), Of(steps, step => step.Exposed), Of(steps, step => step.Bytes));

        private static double Of(IReadOnlyList<Exchange> steps, Func<Exchange, double> value) => steps.Select(value).Order().ElementAt(steps.Count / 2);
    }
}
