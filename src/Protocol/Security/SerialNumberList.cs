namespace Pipeline.Protocol.Security;

/// <summary>
/// A file of serial numbers, one a line; what follows a blank or <c>#</c> is comment. It is read anew when it changed, so that a
/// line added or removed takes effect at once. Safe for many threads.
/// </summary>
/// <param name="path">The file.</param>
public sealed class SerialNumberList(string path)
{
    private readonly Lock _gate = new();
    private (DateTime Written, long Length) _stamp;
    private HashSet<string> _numbers = [];

    /// <summary>Whether a certificate stands in the list.</summary>
    /// <exception cref="SecurityException">The file cannot be read: nobody may be let in then.</exception>
    public bool Contains(string serialNumber)
    {
        lock (_gate)
        {
            try
            {
                Refresh();
            }
            catch (Exception fault) when (fault is IOException or UnauthorizedAccessException)
            {
                throw new SecurityException($"The list of certificates {path} cannot be read ({fault.Message}). Put it back, or take the setting out.", fault);
            }

            return _numbers.Contains(serialNumber);
        }
    }

    private void Refresh()
    {
        var info = new FileInfo(path);
        if (!info.Exists) throw new FileNotFoundException("it is not there");
        var stamp = (info.LastWriteTimeUtc, info.Length);
        if (stamp == _stamp) return;
        _numbers = File.ReadLines(path).Select(line => line.Split('#')[0].Trim().Split(' ', '\t')[0].ToUpperInvariant()).Where(number => number.Length > 0)
            .ToHashSet(StringComparer.Ordinal);
        _stamp = stamp;
    }
}
