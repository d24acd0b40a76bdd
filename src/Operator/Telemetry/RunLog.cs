using Microsoft.Extensions.Logging;
using Pipeline.Coordinator;

namespace Pipeline.Operator;

/// <summary>
/// What happens to a run as log entries of Microsoft.Extensions.Logging: each is named as its event is, and says run, generation, step and,
/// where one is meant, rank. Steps themselves are in the metrics; they are logged at the level Debug. An observer of the run.
/// </summary>
public sealed class RunLog : IRunObserver, IDisposable
{
    private readonly ILoggerFactory _factory;
    private readonly ILogger _logger;
    private readonly TimeProvider _time;
    private readonly string _run;
    // A factory leaves providers that were made elsewhere to their makers.
    private LogFile? _file;
    private int _generation;
    private long _step;

    /// <param name="factory">Where entries go; owned.</param>
    /// <param name="run">Name of the run.</param>
    /// <param name="time">Clock.</param>
    /// <param name="generation">The generation that it begins in.</param>
    public RunLog(ILoggerFactory factory, string run, TimeProvider time, int generation = 1)
    {
        (_factory, _run, _time, _generation) = (factory, run, time, generation);
        _logger = factory.CreateLogger(RunMeter.Name);
    }

    /// <summary>Into a file, which is appended to.</summary>
    /// <param name="path">The file; its folder is made.</param>
    /// <param name="format">Form of an entry.</param>
    /// <param name="run">Name of the run.</param>
    /// <param name="time">Clock.</param>
    /// <param name="generation">The generation that it begins in.</param>
    public static RunLog Open(string path, LogFormat format, string run, TimeProvider time, int generation = 1)
    {
        LogFile file = new(path, format, time);
        return new RunLog(LoggerFactory.Create(logging => logging.SetMinimumLevel(LogLevel.Information).AddProvider(file)), run, time, generation) { _file = file };
    }

    /// <inheritdoc/>
    public void OnNotice(RunNotice notice)
    {
        _generation = notice switch
        {
            RunNotice.Recovering recovering => recovering.Generation.Number,
            RunNotice.RolledBack back => back.Generation.Number,
            _ => _generation,
        };
        if (notice is RunNotice.StepCommitted { Step: var step })
        {
            _step = step.Step;
            if (_logger.IsEnabled(LogLevel.Debug)) Write(LogLevel.Debug, new LogEntry("step-committed", _run, _generation, _step, null, FormattableString.Invariant($"loss {step.Loss:R}")));
        }

        if (Happening.Of(notice, _time.GetUtcNow(), _step) is { } happening)
            Write(LevelOf(notice), new LogEntry(happening.Kind, _run, _generation, happening.Step, (notice as RunNotice.StageFailed)?.Failure.Rank, happening.Text));
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _factory.Dispose();
        _file?.Dispose();
    }

    private void Write(LogLevel level, LogEntry entry) => _logger.Log(level, new EventId(0, entry.Event), entry, null, static (written, _) => written.Message);

    private static LogLevel LevelOf(RunNotice notice) => notice switch
    {
        RunNotice.StageFailed or RunNotice.Ended { Outcome.End: RunEnd.Failed } => LogLevel.Error,
        RunNotice.Warned or RunNotice.Recovering or RunNotice.RolledBack or RunNotice.NodeLost or RunNotice.SaveFailed or RunNotice.FlightGathered or RunNotice.Commanded { IsDone: false } => LogLevel.Warning,
        _ => LogLevel.Information,
    };
}
