namespace Pipeline.Cli.Terminal;

/// <summary>
/// Reads a line from a terminal with editing, history and completion. A line that is wider than the window is shown in part; the window may
/// change its size between two keys.
/// </summary>
/// <param name="terminal">Where.</param>
/// <param name="history">Former lines.</param>
/// <param name="complete">What may stand at the end of the text before the cursor.</param>
internal sealed class LineEditor(ITerminal terminal, LineHistory history, Func<string, IReadOnlyList<string>> complete)
{
    private readonly LineBuffer _line = new();
    private string _prompt = "";
    private int _place;
    private string _unfinished = "";

    /// <summary>One line; null at Ctrl-D on an empty one. Ctrl-C drops what was typed.</summary>
    public string? Read(string prompt)
    {
        _prompt = prompt;
        (_place, _unfinished) = (history.Lines.Count, "");
        _line.Set("");
        Draw();
        while (true)
        {
            var key = terminal.ReadKey();
            switch (key)
            {
                case { Key: ConsoleKey.Enter }:
                    terminal.Write("\r\n");
                    history.Add(_line.Text.Trim());
                    return _line.Text;
                case { Key: ConsoleKey.D, Modifiers: ConsoleModifiers.Control } when _line.Text.Length == 0:
                    terminal.Write("\r\n");
                    return null;
                case { Key: ConsoleKey.C, Modifiers: ConsoleModifiers.Control }:
                    terminal.Write("^C\r\n");
                    _line.Set("");
                    break;
                default:
                    Edit(key);
                    break;
            }

            Draw();
        }
    }

    private void Edit(ConsoleKeyInfo key)
    {
        if (key.Modifiers.HasFlag(ConsoleModifiers.Control)) EditByControl(key.Key);
        else EditByKey(key);
    }

    private void EditByControl(ConsoleKey key)
    {
        switch (key)
        {
            case ConsoleKey.A: _line.Home(); break;
            case ConsoleKey.E: _line.End(); break;
            case ConsoleKey.U: _line.CutToStart(); break;
            case ConsoleKey.K: _line.CutToEnd(); break;
            case ConsoleKey.W: _line.CutWord(); break;
            case ConsoleKey.D: _line.Delete(); break;
            case ConsoleKey.P: Recall(-1); break;
            case ConsoleKey.N: Recall(1); break;
            case ConsoleKey.L: terminal.Write("\u001b[2J\u001b[H"); break;
        }
    }

    private void EditByKey(ConsoleKeyInfo key)
    {
        switch (key.Key)
        {
            case ConsoleKey.LeftArrow: _line.Left(); break;
            case ConsoleKey.RightArrow: _line.Right(); break;
            case ConsoleKey.Home: _line.Home(); break;
            case ConsoleKey.End: _line.End(); break;
            case ConsoleKey.UpArrow: Recall(-1); break;
            case ConsoleKey.DownArrow: Recall(1); break;
            case ConsoleKey.Backspace: _line.Backspace(); break;
            case ConsoleKey.Delete: _line.Delete(); break;
            case ConsoleKey.Tab: Complete(); break;
            default:
                if (key.KeyChar != '\0' && !char.IsControl(key.KeyChar)) _line.Insert(key.KeyChar.ToString());
                break;
        }
    }

    private void Recall(int by)
    {
        var place = Math.Clamp(_place + by, 0, history.Lines.Count);
        if (place == _place) return;
        if (_place == history.Lines.Count) _unfinished = _line.Text;
        _place = place;
        _line.Set(place == history.Lines.Count ? _unfinished : history.Lines[place]);
    }

    /// <summary>What all candidates share is filled in; where that says nothing new they are listed.</summary>
    private void Complete()
    {
        var before = _line.Text[.._line.Cursor];
        var start = before[(before.LastIndexOfAny([' ', ';']) + 1)..];
        // Commands of a line are completed one by one.
        var candidates = complete(before[(before.LastIndexOf(';') + 1)..].TrimStart());
        if (candidates.Count == 0) return;
        var common = candidates.Aggregate(static (shared, word) => shared[..shared.Zip(word).TakeWhile(pair => pair.First == pair.Second).Count()]);
        if (common.Length > start.Length || candidates.Count == 1) _line.Insert((common.Length > start.Length ? common[start.Length..] : "") + (candidates.Count == 1 ? " " : ""));
        else terminal.Write("\r\n" + string.Join("  ", candidates) + "\r\n");
    }

    private void Draw()
    {
        var room = Math.Max(8, terminal.Width - _prompt.Length - 1);
        var from = Math.Max(0, _line.Cursor - room);
        var shown = _line.Text[from..Math.Min(_line.Text.Length, from + room)];
        terminal.Write($"\r{_prompt}{shown}\u001b[K\u001b[{_prompt.Length + _line.Cursor - from + 1}G");
    }
}
