using Pipeline.Coordinator;
using Pipeline.Runs;

namespace Pipeline.Cli.Execution;

/// <summary>Opens the files in which a run is recorded.</summary>
internal static class RunRecording
{
    /// <summary>Opens them for a new run, or for one that goes on after a step.</summary>
    /// <exception cref="RunException">One cannot be written or is damaged.</exception>
    public static RunRecorder Open(RunMaterials materials, long from, RunFiles files, TimeProvider time)
    {
        var resumes = from > 0;
        return new RunRecorder(
            resumes ? MetricsWriter.Resume(files.Metrics, from) : MetricsWriter.Create(files.Metrics),
            resumes ? DigestFile.Resume(files.Digests, from) : DigestFile.Create(files.Digests),
            EventLog.Open(files.Events, time),
            new TensorBoardWriter(files.Folder, time, resumes ? from : null),
            materials.Data.BitsPerByte);
    }
}
