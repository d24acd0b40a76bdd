namespace Pipeline.Cli;

/// <summary>Tells what is going on, a line each, at once and in order (the library's own progress type posts to other threads).</summary>
internal sealed class LineProgress(TextWriter writer) : IProgress<string>
{
    /// <inheritdoc/>
    public void Report(string value) => writer.WriteLine(value);
}
