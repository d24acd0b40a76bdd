namespace Pipeline.Cli.Terminal;

/// <summary>A line that is being edited, with its cursor. No terminal: what a key does to the text.</summary>
internal sealed class LineBuffer
{
    /// <summary>The text.</summary>
    public string Text { get; private set; } = "";

    /// <summary>Where the next character goes.</summary>
    public int Cursor { get; private set; }

    public void Set(string text) => (Text, Cursor) = (text, text.Length);

    public void Insert(string text)
    {
        Text = Text.Insert(Cursor, text);
        Cursor += text.Length;
    }

    public void Left() => Cursor = Math.Max(0, Cursor - WidthBefore());

    public void Right() => Cursor = Math.Min(Text.Length, Cursor + (Cursor < Text.Length && char.IsHighSurrogate(Text[Cursor]) ? 2 : 1));

    public void Home() => Cursor = 0;

    public void End() => Cursor = Text.Length;

    public void Backspace()
    {
        var width = WidthBefore();
        if (Cursor == 0) return;
        Cursor -= width;
        Text = Text.Remove(Cursor, width);
    }

    public void Delete()
    {
        if (Cursor >= Text.Length) return;
        Text = Text.Remove(Cursor, char.IsHighSurrogate(Text[Cursor]) && Cursor + 1 < Text.Length ? 2 : 1);
    }

    public void CutToStart() => (Text, Cursor) = (Text[Cursor..], 0);

    public void CutToEnd() => Text = Text[..Cursor];

    public void CutWord()
    {
        var end = Cursor;
        while (Cursor > 0 && Text[Cursor - 1] == ' ') Cursor--;
        while (Cursor > 0 && Text[Cursor - 1] != ' ') Cursor--;
        Text = Text.Remove(Cursor, end - Cursor);
    }

    // A character outside the basic plane is two of ours and one of the user's.
    private int WidthBefore() => Cursor >= 2 && char.IsLowSurrogate(Text[Cursor - 1]) ? 2 : 1;
}
