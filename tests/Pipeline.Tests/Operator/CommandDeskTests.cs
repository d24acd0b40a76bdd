using System.Text.Json.Nodes;
using Pipeline.Checkpoints;
using Pipeline.Coordinator;
using Pipeline.Model;
using Pipeline.Model.Training;
using Pipeline.Operator;
using Pipeline.Protocol;
using Pipeline.Runs;
using Pipeline.Tests.Training;
using Pipeline.Training;
using Xunit;

namespace Pipeline.Tests.Operator;

/// <summary>Every command against a run that is under way in this process; what changes no step changes no bit.</summary>
[Collection(PipelineCollection.Name)]
public sealed class CommandDeskTests : IDisposable
{
    private const int Steps = 60;

    /// <summary>Of a run that is ended by command, however late the command comes.</summary>
    private const int ManySteps = 100_000;
    private readonly string _folder = Directory.CreateTempSubdirectory("pipeline-desk-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public async Task Pauses_and_saves_leave_every_bit_as_it_is()
    {
        var paused = new TaskCompletionSource<Task<CommandAnswer>>();
        var run = await OperatedTinyRun.StartAsync(_folder, Plan(), (step, self) =>
        {
            if (step == 3) paused.SetResult(self.RunAsync("pause"));
        });
        Assert.True((await await paused.Task).IsDone);
        var status = await run.ReachAsync("paused");
        Assert.InRange(status.Step, 3, Steps - 1);
        Assert.Equal(status.GrantedStep, status.Step);

        var saved = await run.RunAsync("checkpoint now");
        Assert.True(saved.IsDone, saved.Text);
        Assert.Contains(new FolderCheckpointStore(Path.Combine(_folder, "run", "checkpoints")).List(), one => one.Step == status.Step && one.State == CheckpointState.Complete);
        Assert.Contains($"{status.Step}", (await run.RunAsync("checkpoint ls")).Text, StringComparison.Ordinal);
        Assert.Contains($"Intact to the last byte: the checkpoints of the steps {status.Step}", (await run.RunAsync("verify")).Text, StringComparison.Ordinal);
        var weights = Directory.EnumerateFiles(Path.Combine(_folder, "run", "checkpoints", $"step-{status.Step}"), "model*.safetensors").First();
        var sound = await File.ReadAllBytesAsync(weights);
        await File.WriteAllBytesAsync(weights, [.. sound[..^1], (byte)~sound[^1]]);
        Assert.False((await run.RunAsync("verify")).IsDone);
        await File.WriteAllBytesAsync(weights, sound);

        Assert.True((await run.RunAsync("resume")).IsDone);
        Assert.Equal(new RunOutcome(RunEnd.Completed, Steps), await run.Ended);
        TinyRun.AssertEqual(TinyRun.Reference(2, true, Precision.Fp32, Steps), run.Notices.Steps);
        Assert.Equal(["pause", "checkpoint now", "resume"], run.Notices.All.OfType<RunNotice.Commanded>().Where(command => command.IsDone).Select(command => command.Command));
        Assert.All(run.Notices.All.OfType<RunNotice.Commanded>(), command => Assert.Equal("tester", command.Operator));
    }

    [Fact]
    public async Task A_paused_run_can_be_asked_everything()
    {
        var run = await PausedAsync();
        await File.WriteAllTextAsync(run.Files.Configuration, "pipeline.seed = 17  # the command line\npipeline.optimizer.clip = 0.5  # reference.conf\n");
        foreach (var line in CommandCatalogue.All.Where(command => !command.IsChange && command.ArgumentCount.Least == 0).Select(command => command.Name))
        {
            var answer = await run.RunAsync(line);
            Assert.True(answer.IsDone, $"{line}: {answer.Text}");
            Assert.NotEmpty(answer.Text);
            Assert.NotNull(answer.ToJson());
            Assert.DoesNotContain(answer.Text, text => char.IsControl(text) && text != '\n');
        }

        Assert.Equal("pipeline.optimizer.clip = 0.5", (await run.RunAsync("config optimizer")).Text);
        Assert.Contains("# reference.conf", (await run.RunAsync("config optimizer --origin")).Text, StringComparison.Ordinal);
        Assert.Equal(2, (await run.RunAsync("stages")).Json!.AsArray().Count);
        Assert.Contains("loss", (await run.RunAsync("metrics")).Text, StringComparison.Ordinal);
        Assert.StartsWith("There is no metric", (await run.RunAsync("metrics temper")).Text, StringComparison.Ordinal);
        await EndAsync(run);
    }

    [Fact]
    public async Task The_shape_of_the_status_is_stable()
    {
        var run = await PausedAsync();
        var status = Assert.IsType<JsonObject>((await run.RunAsync("status --json")).Json);
        Assert.Equal(
            ["nodes", "stages", "generation", "step", "phase", "run", "protected_step", "end_step", "loss", "val_loss", "lr", "bubble", "exposed", "exchanged_bytes", "step_seconds", "tokens_per_second", "eta_seconds", "health"],
            status.Select(field => field.Key));
        Assert.Equal(["name", "pid", "roles", "address", "host", "coordinates"], status["nodes"]![0]!.AsObject().Select(field => field.Key));
        Assert.Equal(["rank", "node", "holder", "units", "step"], status["stages"]![0]!.AsObject().Select(field => field.Key));
        Assert.Equal("paused", status["phase"]!.GetValue<string>());
        Assert.Empty(status["health"]!.AsArray());
        Assert.Contains("health      well", (await run.RunAsync("status")).Text, StringComparison.Ordinal);
        await EndAsync(run);
    }

    [Fact]
    public async Task Nothing_dangerous_happens_without_consent_and_a_repeated_call_not_twice()
    {
        var run = await PausedAsync();
        var asked = await run.RunAsync("stop");
        Assert.True(asked.NeedsConsent);
        Assert.False(asked.IsDone);
        Assert.Equal("paused", (await run.Desk.Run.StatusAsync(CancellationToken.None)).Phase);

        Assert.True((await run.RunAsync("resume", "call-1")).IsDone);
        var again = await run.RunAsync("resume", "call-1");
        Assert.False(again.IsDone);
        Assert.Contains("not done twice", again.Text, StringComparison.Ordinal);

        Assert.True((await run.RunAsync("stop --yes")).IsDone);
        var outcome = await run.Ended;
        Assert.Equal(RunEnd.Stopped, outcome.End);
        TinyRun.AssertEqual(TinyRun.Reference(2, true, Precision.Fp32, outcome.Step), run.Notices.Steps);
        Assert.Contains(run.Notices.All.OfType<RunNotice.Commanded>(), command => !command.IsDone && command.Command == "resume");
    }

    [Fact]
    public async Task A_call_that_a_former_leader_has_carried_out_is_not_carried_out_again_and_the_refusal_is_written_down()
    {
        var run = await PausedAsync();
        Assert.True((await run.RunAsync("checkpoint now", "call-7")).IsDone);
        Assert.True((await run.RunAsync("pause")).IsDone);
        // An answer does not wait for its record.
        Assert.True(SpinWait.SpinUntil(() => run.Notices.All.OfType<RunNotice.Commanded>().Any(command => command.Command == "checkpoint now"), TimeSpan.FromMinutes(2)));
        Assert.Equal("call-7", Assert.Single(run.Notices.All.OfType<RunNotice.Commanded>(), command => command.Command == "checkpoint now").Id);
        // As the next leader finds it: the course, and what happened.
        using (RunRecorder recorder = new(MetricsWriter.Create(run.Files.Metrics), DigestFile.Create(run.Files.Digests), EventLog.Open(run.Files.Events, TimeProvider.System)))
        {
            foreach (var notice in run.Notices.All.Where(notice => notice is RunNotice.StepCommitted or RunNotice.Commanded)) recorder.OnNotice(notice);
        }

        CommandDesk next = new(run.Desk.Run, new RunWatch(TimeProvider.System, run.Files));
        var again = await next.RunAsync(new CommandCall("resume", "tester", "call-7"), CancellationToken.None);
        Assert.False(again.IsDone);
        Assert.Contains("not done twice", again.Text, StringComparison.Ordinal);
        Assert.Equal("paused", (await run.Desk.Run.StatusAsync(CancellationToken.None)).Phase);
        Assert.True((await next.RunAsync(new CommandCall("pause", "tester", "call-8"), CancellationToken.None)).IsDone);
        await EndAsync(run);
        Assert.Contains(run.Notices.All.OfType<RunNotice.Commanded>(), command => !command.IsDone && command.Id == "call-7" && command.Command == "resume");
    }

    [Fact]
    public async Task Stop_now_ends_a_run_without_a_further_step()
    {
        var run = await PausedAsync();
        var step = (await run.Desk.Run.StatusAsync(CancellationToken.None)).Step;
        Assert.True((await run.RunAsync("stop --now --yes")).IsDone);
        Assert.Equal(new RunOutcome(RunEnd.Stopped, step), await run.Ended);
    }

    [Theory]
    [InlineData("move 0 local --yes")]
    [InlineData("restart 0 --yes")]
    [InlineData("move 0 nowhere --yes")]
    [InlineData("drain nowhere --yes")]
    [InlineData("restart many --yes")]
    public async Task What_one_process_cannot_do_is_refused_in_a_sentence(string line)
    {
        var run = await PausedAsync();
        var answer = await run.RunAsync(line);
        Assert.False(answer.IsDone);
        Assert.EndsWith(".", answer.Text, StringComparison.Ordinal);
        await EndAsync(run);
    }

    [Fact]
    public async Task Lines_are_completed_with_words_and_live_names()
    {
        var run = await PausedAsync();
        Assert.Equal(["pause"], await run.Desk.CompleteAsync("pau", CancellationToken.None));
        Assert.Equal(["local"], await run.Desk.CompleteAsync("drain l", CancellationToken.None));
        Assert.Equal(["0", "1"], await run.Desk.CompleteAsync("restart ", CancellationToken.None));
        Assert.Equal(["--now", "--yes"], await run.Desk.CompleteAsync("stop --", CancellationToken.None));
        Assert.Empty(await run.Desk.CompleteAsync("nonsense ", CancellationToken.None));
        await EndAsync(run);
    }

    [Fact]
    public async Task A_changed_setting_holds_from_its_step_on_as_in_the_reference()
    {
        var run = await PausedAsync();
        var first = (await run.Desk.Run.StatusAsync(CancellationToken.None)).GrantedStep + 1;
        Assert.True((await run.RunAsync("set lr 0.02")).NeedsConsent);
        Assert.True((await run.RunAsync("set lr 0.02 --yes")).IsDone);
        Assert.True((await run.RunAsync("set clip 0.05 --yes")).IsDone);
        Assert.True((await run.RunAsync("set steps 40 --yes")).IsDone);
        Assert.True((await run.RunAsync("evaluate")).IsDone);
        Assert.True((await run.RunAsync("trace start")).IsDone);
        Assert.True((await run.RunAsync("resume")).IsDone);
        Assert.Equal(new RunOutcome(RunEnd.Completed, 40), await run.Ended);
        var changed = Plan() with { Steps = 40, Optimizer = TinyRun.Optimizer with { Changes = [new OptimizerChange(first, 0.02, null), new OptimizerChange(first, null, 0.05)] } };
        TinyRun.AssertEqual(TinyRun.Train(changed), run.Notices.Steps);
        Assert.Equal([first], run.Notices.All.OfType<RunNotice.Evaluated>().Select(one => one.AfterStep));
        Assert.All(run.Notices.Steps.Where(step => step.Step >= first), step => Assert.NotEmpty(step.Ranks[0].Spans));
    }

    [Fact]
    public async Task Several_steps_are_shown_where_several_are_asked_for_and_explained_with_what_the_schedule_alone_would_take()
    {
        var run = await PausedAsync();
        Assert.Contains("trace start", (await run.RunAsync("timeline")).Text, StringComparison.Ordinal);
        Assert.True((await run.RunAsync("trace start")).IsDone);
        var paused = new TaskCompletionSource<Task<CommandAnswer>>();
        run.AtStep = (step, self) => { if (step == 10) paused.SetResult(self.RunAsync("pause")); };
        Assert.True((await run.RunAsync("resume")).IsDone);
        await await paused.Task;
        var newest = (await run.ReachAsync("paused")).Step;
        // The watch hears of a step after the coordinator has it.
        var one = await run.RunAsync("timeline");
        while (one.Json!["step"]!.GetValue<long>() < newest)
        {
            await Task.Delay(10);
            one = await run.RunAsync("timeline");
        }

        var several = await run.RunAsync("timeline 3");
        Assert.Equal(newest, one.Json["step"]!.GetValue<long>());
        Assert.Null(one.Json["steps"]);
        Assert.Equal([newest - 2, newest - 1, newest], several.Json!["steps"]!.AsArray().Select(step => step!["step"]!.GetValue<long>()));
        Assert.Equal(3, several.Text.Split('\n').Count(line => line.StartsWith("step ", StringComparison.Ordinal)));
        Assert.Contains("The schedule alone would take", (await run.RunAsync("explain")).Text, StringComparison.Ordinal);
        Assert.False((await run.RunAsync("timeline 0")).IsDone);
        Assert.Contains("is no number of steps", (await run.RunAsync("timeline many")).Text, StringComparison.Ordinal);
        await EndAsync(run);
    }

    [Theory]
    [InlineData("set lr -1 --yes", "Expected a learning rate")]
    [InlineData("set lr many --yes", "'many' is no number")]
    [InlineData("set steps 1 --yes", "Expected a whole number above")]
    [InlineData("set eval-every 2.5 --yes", "Expected a whole number of steps")]
    [InlineData("set seed 7 --yes", "cannot be changed of a run under way")]
    [InlineData("set protection none --yes", "The run has one process")]
    [InlineData("set compression topk --yes", "'topk' is nothing that compression can be")]
    [InlineData("set compression int8 --yes", "The run has one replica")]
    [InlineData("generate text", "cannot generate from here")]
    [InlineData("checkpoint keep 777", "holds no checkpoint of step 777")]
    public async Task A_value_that_cannot_be_is_refused_in_a_sentence(string line, string sentence)
    {
        var run = await PausedAsync();
        var answer = await run.RunAsync(line);
        Assert.False(answer.IsDone);
        Assert.Contains(sentence, answer.Text, StringComparison.Ordinal);
        await EndAsync(run);
    }

    [Fact]
    public async Task A_dump_says_what_every_rank_did_last()
    {
        var run = await PausedAsync();
        var answer = await run.RunAsync("dump");
        Assert.True(answer.IsDone, answer.Text);
        var dump = FlightFile.Read(answer.Json!["path"]!.GetValue<string>());
        Assert.Equal([0, 1], dump.Ranks.Select(rank => rank.Rank));
        Assert.All(dump.Ranks, rank => Assert.Matches("^(waits for a grant beyond step|is between two actions)", rank.Doing));
        Assert.Contains(dump.Ranks[1].Entries, entry => entry is { Kind: FlightKind.Arrived, Peer: 0 } && entry.Subject.StartsWith("the activation of micro-batch", StringComparison.Ordinal));
        Assert.Contains(dump.Ranks[0].Entries, entry => entry is { Kind: FlightKind.Sent, Peer: 1 });
        Assert.Contains(dump.Ranks[0].Entries, entry => entry.Kind == FlightKind.Ended && entry.Subject.StartsWith("0O of step", StringComparison.Ordinal));
        await EndAsync(run);
    }

    [Fact]
    public async Task Refusals_are_written_down_and_a_flood_of_them_is_counted()
    {
        var run = await PausedAsync();
        for (var index = 0; index < 1000; index++) run.Desk.Refused("10.0.0.9:1\u001b[2J", "The token is wrong.");
        await EndAsync(run);
        var lines = run.Notices.All.OfType<RunNotice.Commanded>().Where(command => command.Result.StartsWith("The token is wrong.", StringComparison.Ordinal)).ToArray();
        Assert.InRange(lines.Length, 32, 100);
        Assert.All(lines, line => Assert.DoesNotContain(line.Operator, char.IsControl));
    }

    private async Task<OperatedTinyRun> PausedAsync()
    {
        var paused = new TaskCompletionSource();
        var run = await OperatedTinyRun.StartAsync(_folder, Plan(ManySteps), (step, self) =>
        {
            if (step == 2) _ = self.RunAsync("pause").ContinueWith(_ => paused.SetResult(), TaskScheduler.Default);
        });
        await paused.Task;
        await run.ReachAsync("paused");
        return run;
    }

    private static async Task EndAsync(OperatedTinyRun run)
    {
        await run.RunAsync("stop --now --yes");
        await run.Ended;
    }

    private TrainingPlan Plan(long steps = Steps) => TinyRun.Plan(2, 2, steps: steps) with
    {
        StepsAhead = 1,
        Checkpoints = new CheckpointPlan(new FolderCheckpointStore(Path.Combine(_folder, "run", "checkpoints")), RunTests.Describe),
    };
}
