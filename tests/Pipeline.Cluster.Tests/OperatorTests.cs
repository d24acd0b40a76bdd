using System.Runtime.Versioning;
using System.Text.Json;
using Pipeline.Chaos;
using Pipeline.Nodes;
using Pipeline.Runs;
using Xunit;

namespace Pipeline.Cluster.Tests;

/// <summary>The main words of an operator against a run over several processes: each does what it says, and the losses are those of a run that was left alone.</summary>
[SupportedOSPlatform("linux")]
[Collection(BusyCollection.Name)]
public sealed class OperatorTests(TinyTraining tiny)
{
    [Fact]
    public async Task The_main_words_in_one_run_leave_every_loss_as_it_is()
    {
        using var train = ProgramRun.Start(tiny.Arguments(
            "commanded", 1_000_000, "--stages", "3", "--processes", "5", "--set", "schedule.partition=\"1,2,3\"", "--set", "link.kind=unix", "--set", "telemetry.log-format=json"));
        var status = await tiny.StatusAsync("commanded", now => now.Step > 3 && now.Stages.Count == 3);
        var spare = status.Nodes.First(node => !node.Coordinates && status.Stages.All(stage => stage.Node != node.Name)).Name;

        await DoneAsync("pause");
        var paused = await tiny.StatusAsync("commanded", now => now.Phase == "paused");
        await DoneAsync("checkpoint now");
        Assert.Contains(Directory.GetDirectories(new RunFiles(tiny.In("commanded")).Checkpoints), folder => folder.EndsWith($"step-{paused.Step}", StringComparison.Ordinal));
        Assert.Contains("the", await GeneratedAsync("the"), StringComparison.Ordinal);
        Assert.Equal(paused.Step, (await tiny.StatusAsync("commanded", _ => true)).Step);
        // From here on copies lie on disk, and ranks that move start from them.
        await DoneAsync("set protection disk --yes");
        await DoneAsync("resume");

        // A rank on another node; a unit at another rank; a node that leaves; the units divided by what was measured.
        await DoneAsync($"move 1 {spare} --yes");
        status = await tiny.StatusAsync("commanded", now => now.Phase == "running" && now.Step > paused.Step && now.Stages.Single(stage => stage.Rank == 1).Node == spare);
        await MeasuredLinkAsync();
        await DoneAsync($"move layers.0.attention {status.Stages[0].Node} --yes");
        status = await tiny.StatusAsync("commanded", now => now.Phase == "running" && now.Stages[0].Units == 2);
        Assert.Equal([2, 1, 3], status.Stages.Select(stage => stage.Units));
        await DoneAsync($"drain {spare} --yes");
        status = await tiny.StatusAsync("commanded", now => now.Phase == "running" && now.Stages.All(stage => stage.Node != spare));
        var step = status.Step;
        await tiny.StatusAsync("commanded", now => now.Step > step + 5);
        Assert.Contains("stages are units in a row", (await AskAsync($"move head {status.Stages[0].Node} --yes")).Message, StringComparison.Ordinal);
        Assert.True((await AskAsync("stop")).NeedsConsent);
        await AskAsync("rebalance");

        await DoneAsync("stop --yes");
        Assert.Equal(0, await train.EndAsync());
        var (code, output) = await ProgramRun.ToEndAsync("verify", tiny.In("commanded"), "--from", "0", "--steps", "100000");
        Assert.True(code == 0, output);
        Assert.NotEmpty(Directory.GetFiles(new RunFiles(tiny.In("commanded")).Copies, "*.safetensors"));
        AssertLogged();
    }

    /// <summary>What was commanded is in the audit with who, what and the result, and in the log with where in the run it was.</summary>
    private void AssertLogged()
    {
        var files = new RunFiles(tiny.In("commanded"));
        var commands = EventLog.Read(files.Events).Where(one => one.Name == "command-done").ToArray();
        foreach (var word in new[] { "pause", "checkpoint now", "set protection disk", "resume", "move 1", "move layers.0.attention", "drain", "stop --yes" })
            Assert.Contains(commands, one => one.Fields["command"].StartsWith(word, StringComparison.Ordinal) && one.Fields["operator"].Contains(Environment.UserName, StringComparison.Ordinal) && one.Fields["result"].Length > 0);
        var log = File.ReadAllLines(Path.Combine(files.Logs, "run.log")).Select(line => JsonDocument.Parse(line).RootElement).ToArray();
        Assert.All(log, line => Assert.True(line.GetProperty("run").GetString() == "commanded" && line.GetProperty("generation").GetInt32() > 0 && line.GetProperty("step").GetInt64() >= 0 && line.GetProperty("event").GetString()!.Length > 0));
        Assert.Contains(log, line => line.GetProperty("event").GetString() == "units-moved" && line.GetProperty("generation").GetInt32() > 1);
        // Nodes say what they say in the same form.
        var said = File.ReadAllLines(Directory.GetFiles(files.Logs, "node-*.log").Order(StringComparer.Ordinal).First()).Where(line => line.StartsWith('{')).Select(line => JsonDocument.Parse(line).RootElement).ToArray();
        Assert.Contains(said, line => line.GetProperty("event").GetString() == "node-up");
        Assert.All(said, line => Assert.True(line.GetProperty("node").GetString()!.Length > 0 && line.GetProperty("message").GetString()!.Length > 0));
    }

    /// <summary>A link between processes is listed, and soon with its rate, which takes two reports of its ends.</summary>
    private async Task MeasuredLinkAsync()
    {
        for (var tries = 0; ; tries++)
        {
            var links = (await AskAsync("links")).Json!;
            if (JsonDocument.Parse(links).RootElement.EnumerateArray().Any(IsMeasured)) return;
            Assert.True(tries < 1000, links);
            await Task.Delay(50);
        }

        static bool IsMeasured(JsonElement link) => !link.GetProperty("same_process").GetBoolean() && link.GetProperty("kind").GetString() == "unix"
            && link.GetProperty("bytes_per_second").ValueKind == JsonValueKind.Number && link.GetProperty("credit_bytes").GetInt64() >= 0;
    }

    /// <summary>Asks again where a busy machine did not start the process that generates in the time that an operator is kept waiting.</summary>
    private async Task<string> GeneratedAsync(string prompt)
    {
        for (var tries = 0; tries < 8; tries++)
        {
            if ((await AskAsync("generate " + prompt)) is { Done: true } reply) return reply.Message;
        }

        return await DoneAsync("generate " + prompt);
    }

    private async Task<string> DoneAsync(string line)
    {
        var reply = await AskAsync(line);
        Assert.True(reply.Done, $"{line}: {reply.Message}");
        return reply.Message;
    }

    private async Task<ControlReply> AskAsync(string line) =>
        await RunEndpoint.AskAsync(new RunFiles(tiny.In("commanded")), token => new ControlRequest(token, ControlCommand.Operate, Line: line, Operator: Environment.UserName, Id: Guid.NewGuid().ToString("N")))
            ?? new ControlReply(false, "Nobody answers.");
}
