using System.IO.Enumeration;

namespace Pipeline.Data;

/// <summary>Which files a path means: a file, a folder (recursive; hidden files and links to folders are passed over) or a glob.</summary>
internal static class CorpusFinder
{
    public static List<CorpusFile> Find(string path)
    {
        if (File.Exists(path))
            return [new CorpusFile(path, Path.GetFileName(path), CorpusFile.KindOf(path, CorpusFileKind.BlankLineSeparated))];
        if (Directory.Exists(path))
            return NonEmpty(FilesOf(path, _ => true), $"The folder {path} holds no file");
        if (path.AsSpan().ContainsAny('*', '?'))
            return FindByGlob(path);
        throw new DataException($"There is no corpus at {Path.GetFullPath(path)}: a text file, a JSONL file, a folder or a glob is expected. "
            + "Correct --data, or leave it out to learn from the SDK's reference documentation.");
    }

    private static List<CorpusFile> FindByGlob(string path)
    {
        GlobPattern glob = GlobPattern.Parse(path);
        return Directory.Exists(glob.Root)
            ? NonEmpty(FilesOf(glob.Root, glob.Matches), $"No file matches {path}")
            : throw new DataException($"No file matches {path}, as there is no folder {Path.GetFullPath(glob.Root)}. Correct --data.");
    }

    private static List<CorpusFile> FilesOf(string folder, Func<string, bool> isWanted)
    {
        FileSystemEnumerable<string> paths = new(folder, (ref FileSystemEntry entry) => entry.ToSpecifiedFullPath(),
            new EnumerationOptions { RecurseSubdirectories = true, AttributesToSkip = FileAttributes.Hidden | FileAttributes.System })
        {
            ShouldIncludePredicate = (ref FileSystemEntry entry) => !entry.IsDirectory,
            // A link to a folder may lead back up and never end.
            ShouldRecursePredicate = (ref FileSystemEntry entry) => !entry.Attributes.HasFlag(FileAttributes.ReparsePoint),
        };
        return paths
            .Select(path => new CorpusFile(path, Path.GetRelativePath(folder, path).Replace('\\', '/'), CorpusFile.KindOf(path, CorpusFileKind.WholeText)))
            .Where(file => isWanted(file.Name))
            .OrderBy(file => file.Name, StringComparer.Ordinal)
            .ToList();
    }

    private static List<CorpusFile> NonEmpty(List<CorpusFile> files, string otherwise) =>
        files.Count > 0 ? files : throw new DataException($"{otherwise}: text or JSONL files are expected there. Correct --data.");
}
