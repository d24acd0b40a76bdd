using Pipeline.Checkpoints;
using Pipeline.Checkpoints.Objects;

namespace Pipeline.Storage;

/// <summary>Opens the store of checkpoints in an S3 bucket.</summary>
public static class S3CheckpointStore
{
    /// <summary>Opens it; nothing is asked of the server yet.</summary>
    /// <param name="settings">Where.</param>
    /// <param name="localFolder">For files on their way; needs the room of one checkpoint, or of two to resume from.</param>
    public static ICheckpointStore Open(S3Settings settings, string localFolder) => new ObjectCheckpointStore(new S3Objects(settings), settings.Prefix, localFolder);
}
