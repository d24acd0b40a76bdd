namespace Pipeline.Operator;

/// <summary>
/// Log entries as lines of a file, which others may read meanwhile. A disk that takes no more ends the log, not the run. Safe for many
/// threads.
/// </summary>
/// <param name="path">The file; its folder is made, what is in it stays.</param>
/// <param name="format">Form of a line.</param>
/// <param name="time">Clock.</param>
internal sealed class LogFile(string path, LogFormat format, TimeProvider time) : LineLog(format, time)
{
    private readonly Lock _gate = new();
    private StreamWriter? _writer;
    private bool _isClosed;

    /// <inheritdoc/>
    public override void Dispose()
    {
        lock (_gate)
        {
            _isClosed = true;
            _writer?.Dispose();
            _writer = null;
        }
    }

    /// <inheritdoc/>
    protected override void Write(string line)
    {
        lock (_gate)
        {
            if (_isClosed) return;
            try
            {
                _writer ??= Open();
                _writer.WriteLine(line);
            }
            catch (Exception full) when (full is IOException or UnauthorizedAccessException)
            {
                // What could not be written is not tried again when the run ends.
                _isClosed = true;
                _writer = null;
            }
        }
    }

    private StreamWriter Open()
    {
        Directory.CreateDirectory(Path.GetDirectoryName(Path.GetFullPath(path))!);
        return new StreamWriter(new FileStream(path, FileMode.Append, FileAccess.Write, FileShare.ReadWrite | FileShare.Delete, bufferSize: 0)) { AutoFlush = true };
    }
}
