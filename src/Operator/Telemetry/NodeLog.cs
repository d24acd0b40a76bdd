using Microsoft.Extensions.Logging;

namespace Pipeline.Operator;

/// <summary>
/// What a node says for itself, in the form of a run's log: each entry named, with the node, and where they are known the run that it is at, its
/// generation, step and rank. Written line by line to where the node's words go. Safe for many threads.
/// </summary>
public sealed class NodeLog : IDisposable
{
    private readonly string _node;
    private readonly Words _words;
    private volatile string _run = "";
    private volatile int _generation;

    /// <param name="output">Where lines go; not owned.</param>
    /// <param name="format">Their form.</param>
    /// <param name="node">Name of the node.</param>
    /// <param name="time">Clock.</param>
    public NodeLog(TextWriter output, LogFormat format, string node, TimeProvider time)
    {
        _node = node;
        _words = new Words(output, format, time);
    }

    /// <summary>The node is at a run from now on, or at none.</summary>
    /// <param name="run">Name of the run; empty for none.</param>
    public void At(string run) => (_run, _generation) = (run, run.Length == 0 ? 0 : _generation);

    /// <summary>The node has heard of a generation.</summary>
    public void Hears(int generation) => _generation = generation;

    /// <summary>Writes an entry.</summary>
    /// <param name="level">How much it matters.</param>
    /// <param name="category">Who says it: a name of a type, or of a part of the program.</param>
    /// <param name="name">Its name, words joined by dashes.</param>
    /// <param name="message">A sentence.</param>
    /// <param name="rank">The rank that is meant; null for none.</param>
    /// <param name="step">The step that is meant; null for none.</param>
    public void Write(LogLevel level, string category, string name, string message, int? rank = null, long? step = null)
    {
        if (level < LogLevel.Information) return;
        var (run, generation) = (_run, _generation);
        // What is said after the end is said to nobody.
        _words.CreateLogger(category).Log(
            level, new EventId(0, name), new LogEntry(name, run, generation > 0 && run.Length > 0 ? generation : null, step, rank, message) { Node = _node }, null, static (entry, _) => entry.Message);
    }

    /// <inheritdoc/>
    public void Dispose() => _words.Dispose();

    private sealed class Words(TextWriter output, LogFormat format, TimeProvider time) : LineLog(format, time)
    {
        private readonly Lock _gate = new();
        private bool _isClosed;

        public override void Dispose()
        {
            lock (_gate) _isClosed = true;
        }

        protected override void Write(string line)
        {
            lock (_gate)
            {
                if (!_isClosed) output.WriteLine(line);
            }
        }
    }
}
