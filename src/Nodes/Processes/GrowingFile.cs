using System.Text;

namespace Pipeline.Nodes;

/// <summary>
/// The lines of a file that others append to, each once, counted from the file's beginning: a file that is replaced by a copy of itself,
/// as the next leader of a run does, goes on where it was.
/// </summary>
internal sealed class GrowingFile
{
    private readonly string _path;
    private long _position;

    /// <summary>Begins behind the last complete line.</summary>
    internal GrowingFile(string path)
    {
        _path = path;
        foreach (var _ in NextLines())
        {
            // Passed over.
        }
    }

    /// <summary>Complete lines that have come since the last call.</summary>
    internal IReadOnlyList<string> NextLines()
    {
        try
        {
            using FileStream stream = new(_path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
            if (stream.Length <= _position) return [];
            stream.Position = _position;
            var bytes = new byte[stream.Length - _position];
            var count = stream.ReadAtLeast(bytes, bytes.Length, throwOnEndOfStream: false);
            var end = bytes.AsSpan(0, count).LastIndexOf((byte)'\n');
            if (end < 0) return [];
            _position += end + 1;
            return Encoding.UTF8.GetString(bytes, 0, end).Split('\n');
        }
        catch (Exception absent) when (absent is FileNotFoundException or DirectoryNotFoundException)
        {
            return [];
        }
    }
}
