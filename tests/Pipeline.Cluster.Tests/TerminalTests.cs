using System.Runtime.Versioning;
using Pipeline.Chaos;
using Pipeline.Runs;
using Xunit;

namespace Pipeline.Cluster.Tests;

/// <summary>Console and top as a person drives them, on a pseudo-terminal, against a run in a process of its own.</summary>
[SupportedOSPlatform("linux")]
public sealed class TerminalTests(TinyTraining tiny) : IClassFixture<TinyTraining>
{
    private const string Up = "\u001b[A";
    private const string Prompt = "pipeline> ";

    [SkippableFact]
    public async Task The_console_is_driven_with_tab_arrows_control_keys_and_a_window_that_changes()
    {
        Skip.IfNot(PseudoTerminal.IsThere, "No pseudo-terminal: this takes Linux with script and stty.");
        using var train = ProgramRun.Start(tiny.Arguments("driven", 100_000, "--stages", "2"));
        await tiny.StatusAsync("driven", status => status.Step > 0);
        using (var console = PseudoTerminal.Start(Variables, "console", "--run", tiny.In("driven")))
        {
            await console.SeeAsync(Prompt);
            console.Type("sta\t");
            await console.SeeAsync("stages  status");
            console.Type("tu\t\r");
            await console.SeeAsync("generation  1");
            console.Type("pau\t\r");
            await console.SeeAsync("after step");
            console.Type(Up + Up);
            await console.SeeAsync("status");
            console.Type("\r");
            await console.SeeAsync("generation  1");
            await console.ResizeAsync(30, 10);
            console.Type("help checkpoint and much more than fits");
            await console.SeeAsync("than fits");
            Assert.DoesNotContain("help checkpoint and much more than fits", console.Seen, StringComparison.Ordinal);
            // Ctrl-C drops the line and nothing else.
            console.Type("\u0003");
            await console.SeeAsync("^C");
            console.Type("stop\r");
            await console.SeeAsync("go on (y/n)? ");
            console.Type("n\r");
            await console.SeeAsync(Prompt);
            console.Type("resume\r");
            await console.SeeAsync("The run goes on");
            console.Type("\u0004");
            Assert.Equal(0, await console.EndAsync());
        }

        Assert.False(train.HasEnded, train.Output);
        using (var again = PseudoTerminal.Start(Variables, "console", "--run", tiny.In("driven")))
        {
            await again.SeeAsync(Prompt);
            again.Type(Up);
            await again.SeeAsync("resume");
            again.Type("\u0015exit\r");
            Assert.Equal(0, await again.EndAsync());
        }

        await StopAsync("driven", train);
    }

    [SkippableFact]
    public async Task Top_draws_the_run_follows_the_window_and_leaves_the_screen_as_it_was()
    {
        Skip.IfNot(PseudoTerminal.IsThere, "No pseudo-terminal: this takes Linux with script and stty.");
        using var train = ProgramRun.Start(tiny.Arguments("watched", 100_000, "--stages", "2"));
        await tiny.StatusAsync("watched", status => status.Step > 0);
        using (var top = PseudoTerminal.Start(Variables, "top", "--run", tiny.In("watched"), "--every", "0.2"))
        {
            await top.SeeAsync("\u001b[?1049h");
            await top.SeeAsync("step");
            await top.ResizeAsync(60, 8);
            top.Type("x");
            await top.SeeAsync("\u001b[H");
            top.Type("q");
            Assert.Equal(0, await top.EndAsync());
            Assert.EndsWith("\u001b[?1049l", top.Seen.TrimEnd(), StringComparison.Ordinal);
        }

        Assert.False(train.HasEnded, train.Output);
        await StopAsync("watched", train);
    }

    [Fact]
    public async Task A_script_commands_several_processes_and_a_dump_names_all_ranks()
    {
        using var train = ProgramRun.Start(tiny.Arguments("scripted", 100_000, "--stages", "2", "--processes", "3"));
        await tiny.StatusAsync("scripted", status => status.Step > 0);
        var (code, output) = await ProgramRun.ToEndAsync("console", "--run", tiny.In("scripted"), "-e", "pause; checkpoint now; checkpoint keep; verify; dump; resume");
        Assert.True(code == 0, output);
        Assert.Contains("Intact to the last byte", output, StringComparison.Ordinal);
        Assert.Contains("rank 1, step", output, StringComparison.Ordinal);
        var dump = Assert.Single(Directory.GetFiles(new RunFiles(tiny.In("scripted")).Dumps));
        (code, output) = await ProgramRun.ToEndAsync("dump", "show", dump);
        Assert.True(code == 0, output);
        Assert.Contains("from rank 0", output, StringComparison.Ordinal);
        (code, output) = await ProgramRun.ToEndAsync("ctl", "generate", "the cat", "--run", tiny.In("scripted"));
        Assert.True(code == 0, output);
        Assert.Contains("the cat", output, StringComparison.Ordinal);
        await StopAsync("scripted", train);
    }

    private Dictionary<string, string> Variables => new(StringComparer.Ordinal) { ["XDG_STATE_HOME"] = tiny.In("state") };

    private async Task StopAsync(string run, ProgramRun train)
    {
        var (code, output) = await ProgramRun.ToEndAsync("ctl", "stop", "--yes", "--run", tiny.In(run));
        Assert.True(code == 0, output);
        Assert.Equal(0, await train.EndAsync());
    }
}
