using System.Text.Json;
using Pipeline.Cli;
using Pipeline.Nodes;
using Pipeline.Runs;
using Xunit;

namespace Pipeline.Tests.Cli;

/// <summary>An operator's words, as they are typed, to a run that is under way in this process: where nobody sits at a terminal.</summary>
public sealed class CommandedRunTests : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(5);
    private readonly CommandLineTraining _training = new();

    public void Dispose() => _training.Dispose();

    [Fact]
    public async Task What_could_do_harm_is_refused_with_2_where_nobody_can_be_asked_and_what_could_not_is_done()
    {
        var (files, train) = Start("asked", "--stages", "2");
        await SteppedAsync(files, train);
        foreach (var line in (string[][])[["stop"], ["stop", "--now"], ["set", "lr", "0.001"], ["restart", "0"], ["drain", "local"], ["move", "0", "local"]])
        {
            var refused = Ctl(files, line);
            Assert.True(refused.Code == ExitCode.Refused, $"{string.Join(' ', line)}: {refused.Code}");
            Assert.Contains("There is no terminal to ask at: add --yes to have it done.", refused.Error, StringComparison.Ordinal);
            Assert.Empty(refused.Output);
        }

        foreach (var line in (string[][])[["pause"], ["checkpoint", "now"], ["checkpoint", "ls"], ["resume"], ["status"]])
        {
            var done = Ctl(files, line);
            Assert.True(done.Code == ExitCode.Done, $"{string.Join(' ', line)}: {done.Error}");
        }

        Assert.Equal(ExitCode.Refused, Ctl(files, "set", "lr", "many", "--yes").Code);
        using var status = JsonDocument.Parse(Ctl(files, "status", "--json").Output);
        Assert.True(status.RootElement.GetProperty("step").GetInt64() > 0);
        var stopped = Ctl(files, "stop", "--yes");
        Assert.True(stopped.Code == ExitCode.Done, stopped.Error);
        var ended = await train.WaitAsync(Patience);
        Assert.True(ended.Code == ExitCode.Done, ended.Error);
        var after = Ctl(files, "status");
        Assert.Equal(ExitCode.Refused, after.Code);
        Assert.Contains("No run is under way in", after.Error, StringComparison.Ordinal);
        // What was asked about and not done is nobody's deed.
        Assert.Equal(["pause", "checkpoint now", "resume", "set lr many --yes", "stop --yes"], Commands(files).Select(line => line.Fields["command"]));
    }

    [Fact]
    public async Task A_script_does_one_after_the_other_and_ends_with_the_first_that_is_refused()
    {
        var (files, train) = Start("scripted", "--stages", "2");
        await SteppedAsync(files, train);
        var done = Script(files, "pause; checkpoint now\n# goes on\nresume; metrics loss --json");
        Assert.True(done.Code == ExitCode.Done, done.Error);
        Assert.Contains("\"loss\"", done.Output, StringComparison.Ordinal);
        var refused = Script(files, "pause; stop; resume");
        Assert.Equal(ExitCode.Refused, refused.Code);
        Assert.StartsWith("stop: This ends the run", refused.Error, StringComparison.Ordinal);
        using (var status = JsonDocument.Parse(Ctl(files, "status", "--json").Output)) Assert.StartsWith("paus", status.RootElement.GetProperty("phase").GetString(), StringComparison.Ordinal);
        Assert.Contains("There is no command 'rezume'. Did you mean resume?", Script(files, "rezume").Error, StringComparison.Ordinal);
        // From standard input, a line each.
        Console.SetIn(new StringReader("# goes on, and ends\nresume\n\nstop --yes\n"));
        var piped = _training.Run("console", "--run", files.Folder);
        Assert.True(piped.Code == ExitCode.Done, piped.Error);
        Assert.Contains("The run stops after the step under way", piped.Output, StringComparison.Ordinal);
        var ended = await train.WaitAsync(Patience);
        Assert.True(ended.Code == ExitCode.Done, ended.Error);
    }

    [Fact]
    public async Task What_is_commanded_of_the_unsplit_trainer_and_who_is_refused_is_written_down_as_of_any_run()
    {
        var (files, train) = Start("unled", "--reference");
        // It answers as soon as its endpoint is there; what it is asked first may come before its first step.
        using CancellationTokenSource limit = new(Patience);
        while (EndpointFile.Read(files.Endpoint) is null && !train.IsCompleted) await Task.Delay(20, limit.Token);
        Assert.False(train.IsCompleted);
        var address = EndpointFile.Read(files.Endpoint)!.Address;
        Assert.False((await ControlClient.AskAsync(address, new ControlRequest("not the token", ControlCommand.Operate, Line: "stop --yes", Operator: "mallory"), Patience))!.Done);
        await SteppedAsync(files, train);
        Assert.True((await RunEndpoint.AskAsync(files, token => new ControlRequest(token, ControlCommand.Operate, Line: "stop --yes", Operator: "tester")))!.Done);
        var ended = await train.WaitAsync(Patience);
        Assert.True(ended.Code == ExitCode.Done, ended.Error);
        var commands = Commands(files);
        Assert.Equal(["command-refused", "command-done"], commands.Select(line => line.Name));
        Assert.Contains("The token is not that of this endpoint", commands[0].Fields["result"], StringComparison.Ordinal);
        Assert.Equal(("tester", "stop --yes"), (commands[1].Fields["operator"], commands[1].Fields["command"]));
    }

    private (RunFiles Files, Task<CommandLineRun> Train) Start(string name, params string[] more) =>
        (new RunFiles(_training.In(name)), Task.Run(() => _training.Train(name, ["--steps", "1000000", "--set", "run.eval-every=0", "--set", "checkpoint.every=0", "--set", "run.digest-every=0", .. more])));

    /// <summary>Waits for the first step.</summary>
    private static async Task SteppedAsync(RunFiles files, Task<CommandLineRun> train)
    {
        using CancellationTokenSource limit = new(Patience);
        while (!File.Exists(files.Metrics) || new FileInfo(files.Metrics).Length == 0)
        {
            if (train.IsCompleted) Assert.Fail((await train).Error);
            await Task.Delay(20, limit.Token);
        }
    }

    private CommandLineRun Ctl(RunFiles files, params string[] words) => _training.Run(["ctl", .. words, "--run", files.Folder]);

    private CommandLineRun Script(RunFiles files, string lines) => _training.Run("console", "--run", files.Folder, "-e", lines);

    private static RecordedEvent[] Commands(RunFiles files) => [.. EventLog.Read(files.Events).Where(line => line.Name is "command-done" or "command-refused")];
}
