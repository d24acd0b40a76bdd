using System.Runtime.Versioning;
using Pipeline.Chaos;
using Xunit;

namespace Pipeline.Cluster.Tests;

/// <summary>The console and the live view, driven in a terminal as a person drives them, on a run that is under way.</summary>
[SupportedOSPlatform("linux")]
public sealed class TerminalTests(TinyTraining tiny) : IClassFixture<TinyTraining>
{
    private const string Prompt = "pipeline>";

    [SkippableFact]
    public async Task A_person_completes_edits_recalls_drops_and_leaves_and_the_run_goes_on()
    {
        using var train = await StartAsync("typed");
        using (var terminal = Console("typed"))
        {
            await terminal.ShowsAsync(Prompt);
            // Tab completes a word, and a name that lives.
            terminal.Type("stat");
            terminal.Press("Tab");
            await terminal.ShowsAsync($"{Prompt} status");
            terminal.Press("Enter");
            await terminal.ShowsAsync("generation  1");
            terminal.Type("cordon l");
            terminal.Press("Tab");
            await terminal.ShowsAsync($"{Prompt} cordon local");
            // Ctrl-C drops the line, not the console.
            terminal.Press("C-c");
            await terminal.ShowsAsync(screen => screen.Contains("^C", StringComparison.Ordinal) && Terminal.LastLine(screen) == Prompt, "an empty prompt after ^C");
            // Arrows move in the line and recall former ones.
            terminal.Type("los");
            terminal.Press("Home", "Right", "Right", "Right");
            terminal.Type("x");
            terminal.Press("BSpace", "Left", "Left");
            terminal.Press("End");
            terminal.Type("s");
            await terminal.ShowsAsync($"{Prompt} loss");
            terminal.Press("Enter");
            await terminal.ShowsAsync("(steps 1 to ");
            terminal.Press("Up", "Up");
            await terminal.ShowsAsync(screen => Terminal.LastLine(screen) == $"{Prompt} status", "the line before the last");
            terminal.Press("Down");
            await terminal.ShowsAsync(screen => Terminal.LastLine(screen) == $"{Prompt} loss", "the last line");
            terminal.Press("C-u");
            // What could do harm asks, and "no" is no.
            terminal.Type("stop");
            terminal.Press("Enter");
            await terminal.ShowsAsync("go on (y/n)?");
            terminal.Type("n");
            terminal.Press("Enter");
            await terminal.ShowsAsync("Nothing was done");
            // Ctrl-D leaves.
            await terminal.ShowsAsync(screen => Terminal.LastLine(screen) == Prompt, "a prompt");
            terminal.Press("C-d");
            await terminal.ShowsAsync("ended with 0");
        }

        var before = (await tiny.StatusAsync("typed", _ => true)).Step;
        await tiny.StatusAsync("typed", status => status.Step > before);
        Assert.False(train.HasEnded);
        using var again = Console("typed");
        await again.ShowsAsync(Prompt);
        again.Press("Up", "Up");
        await again.ShowsAsync(screen => Terminal.LastLine(screen) is $"{Prompt} stop" or $"{Prompt} loss", "a line of the former use");
    }

    [SkippableFact]
    public async Task A_line_stays_one_line_in_a_window_that_is_made_narrow()
    {
        using var train = await StartAsync("narrow");
        using var terminal = Console("narrow");
        await terminal.ShowsAsync(Prompt);
        terminal.Type("help");
        await terminal.ShowsAsync($"{Prompt} help");
        terminal.Resize(30, 20);
        terminal.Type(" what a long line this becomes before it ends");
        var screen = await terminal.ShowsAsync(screen => Terminal.LastLine(screen).EndsWith("it ends", StringComparison.Ordinal), "the end of the line");
        Assert.All(screen.Split('\n'), line => Assert.True(line.Length <= 30, line));
        Assert.StartsWith(Prompt, Terminal.LastLine(screen), StringComparison.Ordinal);
        terminal.Press("Home");
        await terminal.ShowsAsync(screen => Terminal.LastLine(screen).StartsWith($"{Prompt} help what", StringComparison.Ordinal), "the beginning of the line");
        terminal.Press("C-c");
        terminal.Press("C-d");
        await terminal.ShowsAsync("ended with 0");
    }

    [SkippableFact]
    public async Task The_live_view_follows_the_run_and_the_window_and_gives_the_screen_back()
    {
        using var train = await StartAsync("viewed");
        using var terminal = Terminal.Open(110, 30, "TZ=UTC", "top", "--run", tiny.In("viewed"), "--every", "0.3");
        var first = await terminal.ShowsAsync("q leaves; the run goes on");
        Assert.Contains("█", first, StringComparison.Ordinal);
        var step = StepOf(first);
        await terminal.ShowsAsync(screen => StepOf(screen) > step, "a later step");
        Assert.Contains("\u001b[32m", terminal.Painted, StringComparison.Ordinal);
        terminal.Resize(50, 12);
        var small = await terminal.ShowsAsync(screen => screen.Split('\n').All(line => line.Length <= 50) && StepOf(screen) > step, "the narrow view");
        Assert.True(small.TrimEnd('\n').Split('\n').Length <= 12, small);
        terminal.Press("q");
        var left = await terminal.ShowsAsync("ended with 0");
        Assert.DoesNotContain("q leaves", left, StringComparison.Ordinal);
        Assert.False(train.HasEnded);
    }

    [SkippableFact]
    public async Task The_live_view_is_without_colour_where_nobody_wants_any_and_ends_at_ctrl_c()
    {
        using var train = await StartAsync("plain");
        using (var terminal = Terminal.Open(110, 30, "NO_COLOR=1", "top", "--run", tiny.In("plain"), "--every", "0.3"))
        {
            await terminal.ShowsAsync("q leaves; the run goes on");
            Assert.DoesNotContain("\u001b[", terminal.Painted, StringComparison.Ordinal);
            terminal.Press("C-c");
            await terminal.ShowsAsync("ended with ");
        }

        // Without a terminal: plain lines.
        using var lines = ProgramRun.Start("top", "--run", tiny.In("plain"), "--every", "0.2");
        await lines.SaysAsync("loss ");
        Assert.Matches(@"^running step \d+/1000000  loss \d", lines.Output);
        Assert.DoesNotContain("\u001b", lines.Output, StringComparison.Ordinal);
    }

    private static int StepOf(string screen) =>
        System.Text.RegularExpressions.Regex.Match(screen, @"step (\d+)/", System.Text.RegularExpressions.RegexOptions.None, TimeSpan.FromSeconds(1)) is { Success: true } found ? int.Parse(found.Groups[1].ValueSpan, System.Globalization.CultureInfo.InvariantCulture) : -1;

    private Terminal Console(string run) => Terminal.Open(100, 40, $"XDG_STATE_HOME='{tiny.In(run + "-state")}'", "console", "--run", tiny.In(run));

    private async Task<ProgramRun> StartAsync(string run)
    {
        var train = ProgramRun.Start(tiny.Arguments(run, 1_000_000, "--stages", "2", "--set", "run.digest-every=0", "--set", "checkpoint.every=0"));
        await tiny.StatusAsync(run, status => status.Step > 2);
        return train;
    }
}
