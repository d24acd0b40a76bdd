using Pipeline.Coordinator;

namespace Pipeline.Cli.Execution;

/// <summary>
/// Hands notices of several threads on one at a time: those of whoever trains, and what is commanded meanwhile. Once disposed it hears nothing more; what it
/// hands on to is not its own.
/// </summary>
/// <param name="inner">Who is told.</param>
internal sealed class OneAtATime(IRunObserver inner) : IRunObserver, IDisposable
{
    private readonly Lock _gate = new();
    private bool _isClosed;

    public void OnNotice(RunNotice notice)
    {
        lock (_gate)
        {
            if (!_isClosed) inner.OnNotice(notice);
        }
    }

    public void Dispose()
    {
        lock (_gate) _isClosed = true;
    }
}
