namespace Pipeline.Cli.Terminal;

/// <summary>A terminal as the line editor needs it: keys in, text out.</summary>
internal interface ITerminal
{
    /// <summary>Columns now; the window may have changed since the last key.</summary>
    int Width { get; }

    /// <summary>The next key.</summary>
    ConsoleKeyInfo ReadKey();

    /// <summary>Writes text and control sequences.</summary>
    void Write(string text);
}

/// <summary>The process's own terminal.</summary>
internal sealed class ConsoleTerminal : ITerminal
{
    public int Width => Math.Max(20, Console.WindowWidth);

    public ConsoleKeyInfo ReadKey()
    {
        Console.TreatControlCAsInput = true;
        try
        {
            return Console.ReadKey(intercept: true);
        }
        finally
        {
            Console.TreatControlCAsInput = false;
        }
    }

    public void Write(string text) => Console.Out.Write(text);
}
