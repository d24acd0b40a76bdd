using System.IO.Enumeration;

namespace Pipeline.Data;

/// <summary>A path with <c>*</c> and <c>?</c> inside a segment and <c>**</c> for any number of folders.</summary>
internal sealed class GlobPattern
{
    private readonly string[] _segments;

    private GlobPattern(string root, string[] segments)
    {
        Root = root;
        _segments = segments;
    }

    /// <summary>The folder before the first wildcard; the rest of the pattern is relative to it.</summary>
    public string Root { get; }

    public static GlobPattern Parse(string pattern)
    {
        string[] segments = pattern.Split(Path.DirectorySeparatorChar, Path.AltDirectorySeparatorChar);
        int firstWildcard = Array.FindIndex(segments, segment => segment.AsSpan().ContainsAny('*', '?'));
        string root = string.Join(Path.DirectorySeparatorChar, segments.AsSpan(0, firstWildcard)!);
        bool isFromTop = firstWildcard > 0 && root.Length == 0;
        return new GlobPattern(isFromTop ? "/" : root.Length == 0 ? "." : root, segments[firstWildcard..]);
    }

    /// <param name="name">A path relative to <see cref="Root"/>, with <c>/</c>.</param>
    public bool Matches(string name) => Matches(name.Split('/'), _segments);

    private static bool Matches(ReadOnlySpan<string> name, ReadOnlySpan<string> pattern)
    {
        if (pattern.IsEmpty)
            return name.IsEmpty;
        if (pattern[0] == "**")
            return Matches(name, pattern[1..]) || (!name.IsEmpty && Matches(name[1..], pattern));
        return !name.IsEmpty
            && FileSystemName.MatchesSimpleExpression(pattern[0], name[0], ignoreCase: false)
            && Matches(name[1..], pattern[1..]);
    }
}
