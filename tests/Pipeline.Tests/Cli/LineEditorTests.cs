using Pipeline.Cli.Terminal;
using Xunit;

namespace Pipeline.Tests.Cli;

/// <summary>The console's line editor, key by key.</summary>
public sealed class LineEditorTests
{
    private static readonly string[] Words = ["pause", "plan", "status", "stop"];

    [Fact]
    public void Text_is_edited_where_the_cursor_is()
    {
        Keys terminal = new();
        terminal.Type("stXtus").Press(ConsoleKey.LeftArrow, 3).Press(ConsoleKey.Backspace).Type("a").Press(ConsoleKey.End).Type("!").Press(ConsoleKey.Enter);
        Assert.Equal("status!", Read(terminal));
    }

    [Fact]
    public void Tab_fills_in_what_is_certain_and_lists_what_is_not()
    {
        Keys terminal = new();
        terminal.Type("pa").Press(ConsoleKey.Tab).Press(ConsoleKey.Enter);
        Assert.Equal("pause ", Read(terminal));
        terminal = new Keys();
        terminal.Type("st").Press(ConsoleKey.Tab).Type("o").Press(ConsoleKey.Tab).Press(ConsoleKey.Enter);
        Assert.Equal("stop ", Read(terminal));
        Assert.Contains("status  stop", terminal.Written, StringComparison.Ordinal);
    }

    [Fact]
    public void The_second_command_of_a_line_is_completed_too()
    {
        Keys terminal = new();
        terminal.Type("pause; sto").Press(ConsoleKey.Tab).Press(ConsoleKey.Enter);
        Assert.Equal("pause; stop ", Read(terminal));
    }

    [Fact]
    public void Arrows_walk_through_history_and_come_back_to_what_was_typed()
    {
        LineHistory history = new(null);
        history.Add("first");
        history.Add("second");
        Keys terminal = new();
        terminal.Type("new").Press(ConsoleKey.UpArrow, 2).Press(ConsoleKey.DownArrow, 2).Press(ConsoleKey.Enter);
        Assert.Equal("new", Read(terminal, history));
        terminal = new Keys();
        terminal.Press(ConsoleKey.UpArrow, 5).Press(ConsoleKey.Enter);
        Assert.Equal("first", Read(terminal, history));
    }

    [Fact]
    public void Control_C_drops_the_line_and_control_D_leaves_an_empty_one()
    {
        Keys terminal = new();
        terminal.Type("stop").Press(ConsoleKey.C, control: true).Type("status").Press(ConsoleKey.Enter);
        Assert.Equal("status", Read(terminal));
        terminal = new Keys();
        terminal.Press(ConsoleKey.D, control: true);
        Assert.Null(Read(terminal));
    }

    [Fact]
    public void A_line_wider_than_the_window_is_shown_in_part()
    {
        Keys terminal = new() { Width = 20 };
        terminal.Type(new string('a', 30) + "z").Press(ConsoleKey.Enter);
        Assert.Equal(31, Read(terminal)!.Length);
        Assert.All(terminal.Drawn, line => Assert.True(line.Length < 20, line));
    }

    [Fact]
    public void History_outlives_its_use_in_a_file_of_its_owner()
    {
        var folder = Directory.CreateTempSubdirectory("pipeline-history-").FullName;
        try
        {
            var path = Path.Combine(folder, "state", "history");
            new LineHistory(path).Add("status");
            Assert.Equal(["status"], new LineHistory(path).Lines);
            if (!OperatingSystem.IsWindows()) Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(path));
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static string? Read(Keys terminal, LineHistory? history = null) =>
        new LineEditor(terminal, history ?? new LineHistory(null), before => [.. Words.Where(word => word.StartsWith(before, StringComparison.Ordinal))]).Read("> ");

    /// <summary>A terminal that types by itself.</summary>
    private sealed class Keys : ITerminal
    {
        private readonly Queue<ConsoleKeyInfo> _keys = [];

        public int Width { get; init; } = 80;

        internal string Written { get; private set; } = "";

        /// <summary>What stood on the line after each key, without control sequences.</summary>
        internal List<string> Drawn { get; } = [];

        public ConsoleKeyInfo ReadKey() => _keys.Dequeue();

        public void Write(string text)
        {
            Written += text;
            if (text.StartsWith('\r') && text.Contains("\u001b[K", StringComparison.Ordinal)) Drawn.Add(text[1..text.IndexOf('\u001b', StringComparison.Ordinal)]);
        }

        internal Keys Type(string text)
        {
            foreach (var sign in text) _keys.Enqueue(new ConsoleKeyInfo(sign, ConsoleKey.None, false, false, false));
            return this;
        }

        internal Keys Press(ConsoleKey key, int times = 1, bool control = false)
        {
            for (var time = 0; time < times; time++) _keys.Enqueue(new ConsoleKeyInfo('\0', key, false, false, control));
            return this;
        }
    }
}
