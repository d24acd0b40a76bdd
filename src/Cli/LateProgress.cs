using System.Globalization;
using Pipeline.Schedules;

namespace Pipeline.Cli;

/// <summary>
/// Says what goes on once it has gone on for two seconds, and from then on as long as it does: one line that is rewritten on a terminal and removed at the end,
/// a line now and then elsewhere. What is done sooner is not spoken of. Safe for many threads.
/// </summary>
internal sealed class LateProgress : IProgress<PlanProgress>, IDisposable
{
    /// <summary>What lasts no longer needs no word.</summary>
    internal static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);

    private static readonly TimeSpan TerminalPause = TimeSpan.FromMilliseconds(250);
    private static readonly TimeSpan LinePause = TimeSpan.FromSeconds(5);
    private readonly Lock _gate = new();
    private readonly TextWriter _writer;
    private readonly bool _isTerminal;
    private readonly Func<int> _width;
    private readonly ITimer _timer;
    private string _text;
    private string _shown = "";
    private bool _isDisposed;

    /// <param name="context">Errors' stream, whether that is a terminal, clock.</param>
    /// <param name="text">What goes on at first.</param>
    /// <param name="width">Columns of the terminal; null to ask it.</param>
    internal LateProgress(CommandContext context, string text, Func<int>? width = null)
    {
        (_writer, _isTerminal, _text, _width) = (context.Error, context.IsErrorTerminal, text, width ?? (() => Console.WindowWidth));
        _timer = context.Time.CreateTimer(_ => Show(), null, Patience, _isTerminal ? TerminalPause : LinePause);
    }

    /// <summary>Something else goes on from now on.</summary>
    internal void Say(string text)
    {
        lock (_gate) _text = text;
    }

    /// <inheritdoc/>
    public void Report(PlanProgress value) => Say(string.Create(CultureInfo.InvariantCulture, $"{Doing(value.Phase)}, {value.Done} of {value.Total}: {value.Subject}"));

    /// <inheritdoc/>
    public void Dispose()
    {
        lock (_gate)
        {
            _isDisposed = true;
            if (_isTerminal && _shown.Length > 0) _writer.Write("\r\u001b[K");
        }

        _timer.Dispose();
    }

    private void Show()
    {
        lock (_gate)
        {
            if (_isDisposed || _text == _shown) return;
            _shown = _text;
            if (!_isTerminal)
            {
                _writer.WriteLine(_text + " …");
                return;
            }

            var room = Math.Max(20, _width()) - 1;
            _writer.Write("\r\u001b[K" + (_text.Length > room ? _text[..room] : _text));
        }
    }

    private static string Doing(PlanPhase phase) => phase is PlanPhase.Simulating
        ? "simulating combinations"
        : "comparing those near the fastest where durations differ";
}
