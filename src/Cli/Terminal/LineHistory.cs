namespace Pipeline.Cli.Terminal;

/// <summary>Lines of former uses, kept in a file that only its user can read. A file that cannot be used is no reason not to work.</summary>
internal sealed class LineHistory
{
    private const int KeptCount = 1000;
    private readonly string? _path;
    private readonly List<string> _lines = [];

    /// <param name="path">The file; null to forget at the end.</param>
    public LineHistory(string? path)
    {
        _path = path;
        try
        {
            if (path is not null && File.Exists(path)) _lines.AddRange(File.ReadLines(path).TakeLast(KeptCount));
        }
        catch (Exception unusable) when (unusable is IOException or UnauthorizedAccessException)
        {
            _path = null;
        }
    }

    /// <summary>Oldest first.</summary>
    public IReadOnlyList<string> Lines => _lines;

    /// <summary>Where a user's history lies: the state folder that the environment names, else the usual one.</summary>
    public static string PathFor(IReadOnlyDictionary<string, string> variables) => Path.Combine(
        variables.GetValueOrDefault("XDG_STATE_HOME") is { Length: > 0 } state ? state : Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".local", "state"),
        "pipeline", "console-history");

    /// <summary>Remembers a line, unless it repeats the last one.</summary>
    public void Add(string line)
    {
        if (line.Length == 0 || (_lines.Count > 0 && _lines[^1] == line)) return;
        _lines.Add(line);
        if (_path is null) return;
        try
        {
            Directory.CreateDirectory(Path.GetDirectoryName(_path)!);
            FileStreamOptions options = new() { Mode = FileMode.Append, Access = FileAccess.Write };
            if (!OperatingSystem.IsWindows()) options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
            using StreamWriter writer = new(_path, options);
            writer.WriteLine(line);
        }
        catch (Exception unusable) when (unusable is IOException or UnauthorizedAccessException)
        {
            // Remembered until the end of this use.
        }
    }
}
