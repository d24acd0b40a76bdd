using Pipeline.Checkpoints;
using Pipeline.Protocol;
using static Pipeline.Protocol.StageProtocol;

namespace Pipeline.Coordinator;

/// <summary>Which parts of which save attempts are on disk. An attempt is complete when every rank's part is, and is decided once.</summary>
/// <param name="rankCount">Ranks, at first.</param>
/// <param name="firstAttempt">Number of the first try: one that no former coordinator of the run has used for the same step.</param>
internal sealed class CheckpointLedger(int rankCount, int firstAttempt)
{
    private readonly Dictionary<SaveAttempt, IReadOnlyList<WrittenFile>?[]> _open = [];
    private readonly HashSet<SaveAttempt> _committing = [];
    private int _rankCount = rankCount;

    /// <summary>Number of the newest try.</summary>
    internal int LastAttempt { get; private set; } = firstAttempt - 1;

    /// <summary>Whether the end of an attempt is not known yet.</summary>
    internal bool HasOpen => _open.Count > 0;

    /// <summary>Attempts whose end is not known yet. Their steps may be yet to come.</summary>
    internal IEnumerable<SaveAttempt> Open => _open.Keys;

    /// <summary>Attempts that begin from now on have so many parts.</summary>
    internal void Resize(int count) => _rankCount = count;

    /// <summary>A new try to save a step.</summary>
    internal SaveAttempt Begin(long step)
    {
        var attempt = new SaveAttempt(step, ++LastAttempt);
        _open.Add(attempt, new IReadOnlyList<WrittenFile>?[_rankCount]);
        return attempt;
    }

    /// <summary>The manifest of an attempt is being written: the attempt can no longer be given up.</summary>
    internal void Committing(SaveAttempt attempt) => _committing.Add(attempt);

    /// <summary>Whether all parts of an attempt are written, and its manifest is not yet.</summary>
    internal bool IsCommitting(SaveAttempt attempt) => _committing.Contains(attempt);

    /// <summary>Closes the attempts at later steps of which parts are missing.</summary>
    internal IReadOnlyList<SaveAttempt> Abandon(long afterStep = -1)
    {
        var abandoned = _open.Keys.Where(attempt => attempt.Step > afterStep && !_committing.Contains(attempt)).ToArray();
        foreach (var attempt in abandoned) _open.Remove(attempt);
        return abandoned;
    }

    /// <summary>Enters a part; all files in rank order once the attempt is complete, null before and after.</summary>
    internal IReadOnlyList<StoredFile>? Enter(CheckpointPartWritten part)
    {
        var attempt = new SaveAttempt(part.Step, part.Attempt);
        if (!_open.TryGetValue(attempt, out var parts) || (uint)part.Rank >= (uint)parts.Length || _committing.Contains(attempt)) return null;
        parts[part.Rank] = part.Files;
        return parts.All(files => files is not null) ? [.. parts.SelectMany(files => files ?? []).Select(Stored)] : null;
    }

    /// <summary>Closes an attempt, however it ended; false if it was closed before.</summary>
    internal bool Close(SaveAttempt attempt)
    {
        _committing.Remove(attempt);
        return _open.Remove(attempt);
    }

    private static StoredFile Stored(WrittenFile file) =>
        new(file.Name, file.ByteCount, file.Hash, [.. file.Tensors.Select(tensor => new StoredTensor(tensor.Name, tensor.DataType, tensor.Shape, tensor.Hash))]);
}
