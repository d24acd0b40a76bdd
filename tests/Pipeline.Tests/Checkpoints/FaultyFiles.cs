using Pipeline.Checkpoints;

namespace Pipeline.Tests.Checkpoints;

/// <summary>
/// A disk that fails at the n-th operation, writes included, and, if asked, then loses what was never flushed: bytes of files without
/// an fsync, and renames whose folder was not flushed. That is the worst that a loss of power may do. Nothing is really flushed here,
/// only recorded, which spares the tests thousands of real flushes.
/// </summary>
internal sealed class FaultyFiles(int failAt, Func<Exception> fault) : IFileOperations
{
    private readonly DiskFileOperations _disk = new();
    private readonly List<(string From, string To, string? Replaced)> _renames = [];
    private readonly HashSet<string> _unflushed = new(StringComparer.Ordinal);
    private int _replacedCount;

    public int OperationCount { get; private set; }

    public void CreateFolder(string path) => Run(() => _disk.CreateFolder(path));

    public Stream CreateFile(string path, long byteCount)
    {
        Run(() => _unflushed.Add(path));
        return new FaultyStream(_disk.CreateFile(path, byteCount), path, this);
    }

    public void FlushFile(Stream file) => Run(() => _unflushed.Remove(((FaultyStream)file).Path));

    public void Rename(string from, string to) => Run(() =>
    {
        string? replaced = null;
        if (File.Exists(to))
            File.Copy(to, replaced = $"{to}.before-{_replacedCount++}");
        _disk.Rename(from, to);
        Rebase(from, to);
        _renames.Add((from, to, replaced));
    });

    public void FlushFolder(string path) => Run(() =>
    {
        _renames.RemoveAll(rename =>
        {
            if (Path.GetDirectoryName(rename.To) != path)
                return false;
            if (rename.Replaced is { } copy && File.Exists(copy))
                File.Delete(copy);
            return true;
        });
    });

    public void DeleteFile(string path) => Run(() => _disk.DeleteFile(path));

    public void DeleteFolder(string path) => Run(() => _disk.DeleteFolder(path));

    /// <summary>Loses what was not flushed. Directory changes reach the disk in order, so some number of the last ones is lost.</summary>
    public void LosePower(int lostRenameCount)
    {
        foreach (var path in _unflushed.Where(File.Exists))
        {
            using var stream = new FileStream(path, FileMode.Open);
            stream.SetLength(stream.Length / 2);
        }

        for (; lostRenameCount > 0 && _renames.Count > 0; lostRenameCount--)
        {
            var (from, to, replaced) = _renames[^1];
            _renames.RemoveAt(_renames.Count - 1);
            if (Directory.Exists(to))
                Directory.Move(to, from);
            else if (File.Exists(to))
                File.Move(to, from, overwrite: true);
            if (replaced is not null && File.Exists(replaced))
                File.Move(replaced, to);
            Rebase(to, from);
        }
    }

    /// <summary>What lies in a folder that moves is known by its new path from then on.</summary>
    private void Rebase(string from, string to)
    {
        string Moved(string path) => path == from || path.StartsWith(from + Path.DirectorySeparatorChar, StringComparison.Ordinal) ? to + path[from.Length..] : path;

        var unflushed = _unflushed.Select(Moved).ToList();
        _unflushed.Clear();
        _unflushed.UnionWith(unflushed);
        for (var index = 0; index < _renames.Count; index++)
            _renames[index] = (Moved(_renames[index].From), Moved(_renames[index].To), _renames[index].Replaced is { } copy ? Moved(copy) : null);
    }

    private void Run(Action action)
    {
        if (OperationCount++ >= failAt)
            throw fault(); // a disk that has failed stays so
        action();
    }

    private sealed class FaultyStream(Stream inner, string path, FaultyFiles owner) : Stream
    {
        public string Path => path;

        public override bool CanRead => false;

        public override bool CanSeek => false;

        public override bool CanWrite => true;

        public override long Length => inner.Length;

        public override long Position { get => inner.Position; set => throw new NotSupportedException(); }

        public override void Write(ReadOnlySpan<byte> buffer)
        {
            // The first half arrives: a torn write.
            inner.Write(buffer[..(buffer.Length / 2)]);
            var rest = buffer[(buffer.Length / 2)..].ToArray();
            owner.Run(() => inner.Write(rest));
        }

        public override void Write(byte[] buffer, int offset, int count) => Write(buffer.AsSpan(offset, count));

        public override void Flush() => inner.Flush();

        public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        protected override void Dispose(bool disposing)
        {
            if (disposing)
                inner.Dispose();
            base.Dispose(disposing);
        }
    }
}
