using Pipeline.Coordinator;
using Pipeline.Runs;

namespace Pipeline.Cli.Execution;

/// <summary>Opens the files in which a run is recorded.</summary>
internal static class RunRecording
{
    /// <summary>Opens them for a new run, or for one that goes on after a step.</summary>
    /// <param name="materials">What the run computes with.</param>
    /// <param name="from">The step after which it goes on; 0 for a new run.</param>
    /// <param name="files">Where.</param>
    /// <param name="time">Clock of events and TensorBoard.</param>
    /// <param name="leader">Who leads it, where that may change; null for a run in one process.</param>
    /// <exception cref="RunException">One cannot be written or is damaged.</exception>
    public static RunRecorder Open(RunMaterials materials, long from, RunFiles files, TimeProvider time, string? leader = null)
    {
        var resumes = from > 0;
        return new RunRecorder(
            resumes ? MetricsWriter.Resume(files.Metrics, from) : MetricsWriter.Create(files.Metrics),
            resumes ? DigestFile.Resume(files.Digests, from) : DigestFile.Create(files.Digests),
            Begun(EventLog.Open(files.Events, time), leader),
            new TensorBoardWriter(files.Folder, time, resumes ? from : null),
            materials.Data.BitsPerByte,
            SettingsLedger.Resume(files.Changes, from));
    }

    /// <summary>Goes on with what a former leader of the run has recorded, out of its reach.</summary>
    /// <exception cref="RunException">One cannot be written or is damaged.</exception>
    public static RunRecorder TakeOver(RunMaterials materials, long recordedStep, RunFiles files, TimeProvider time, string leader) => new(
        MetricsWriter.TakeOver(files.Metrics),
        DigestFile.TakeOver(files.Digests, recordedStep),
        Begun(EventLog.TakeOver(files.Events, time), leader),
        new TensorBoardWriter(files.Folder, time, recordedStep),
        materials.Data.BitsPerByte,
        SettingsLedger.Resume(files.Changes, long.MaxValue - 1));

    /// <summary>Until the first event of a start, the end of the former one would be the last thing that is told of the run.</summary>
    private static EventLog Begun(EventLog events, string? leader)
    {
        if (leader is not null) events.Write("leader-began", EventSeverity.Information, EventField.Of("leader", leader));
        return events;
    }
}
