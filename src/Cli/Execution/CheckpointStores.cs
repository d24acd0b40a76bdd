using Pipeline.Checkpoints;
using Pipeline.Cli.Configuration;
using Pipeline.Runs;
using Pipeline.Storage;

namespace Pipeline.Cli.Execution;

/// <summary>Opens the store in which a run's settings say that its checkpoints lie.</summary>
internal static class CheckpointStores
{
    /// <summary>The store of a run.</summary>
    /// <param name="settings">Its settings for checkpoints.</param>
    /// <param name="files">Its directory; with S3 it holds the files that are on their way.</param>
    public static ICheckpointStore Open(CheckpointSettings settings, RunFiles files) => settings.Bucket is not { } bucket
        ? new FolderCheckpointStore(files.Checkpoints)
        : S3CheckpointStore.Open(
            new(bucket, settings.Prefix ?? Path.GetFileName(Path.TrimEndingDirectorySeparator(files.Folder)), settings.Endpoint, settings.Region), files.Checkpoints);

    /// <summary>The store of a run that lies on disk, or of a folder that holds nothing but checkpoints.</summary>
    /// <exception cref="CheckpointException">There is no such folder.</exception>
    public static ICheckpointStore OpenStored(string folder)
    {
        if (!Directory.Exists(folder)) throw new CheckpointException($"There is no folder {folder}: expected a run directory.");
        var files = new RunFiles(Path.GetFullPath(folder));
        if (!File.Exists(files.Configuration)) return new FolderCheckpointStore(Directory.Exists(files.Checkpoints) ? files.Checkpoints : folder);
        return Open(RunSettingsBinder.Resume(ConfigurationLayer.FromFile(files.Configuration), ConfigurationSources.None).Settings.Checkpoint, files);
    }
}
