using Akka.Actor;
using Pipeline.Coordinator;
using Pipeline.Operator;
using Pipeline.Protocol;
using Pipeline.Runs;
using Pipeline.Tests.Training;
using Pipeline.Training;

namespace Pipeline.Tests.Operator;

/// <summary>A tiny run in this process with its desk. What is to happen at a step is done before the step's end is told to the run.</summary>
internal sealed class OperatedTinyRun
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(5);
    private readonly TaskCompletionSource<IActorRef> _coordinator = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly CancellationTokenSource _stop = new();

    private OperatedTinyRun(string folder, TrainingPlan plan, Action<long, OperatedTinyRun>? atStep)
    {
        AtStep = atStep;
        Files = new RunFiles(Path.Combine(folder, "run"));
        Directory.CreateDirectory(Files.Folder);
        Watch = new RunWatch(TimeProvider.System);
        Notices = new NoticeList { Then = notice => { if (notice is RunNotice.StepCommitted { Step: var step }) AtStep?.Invoke(step.Step, this); } };
        IReadOnlyList<OperatedNode> nodes = [new(default, new NodeLine("local", Environment.ProcessId, ["coordinator", "stage"], "", Environment.MachineName, true))];
        Ended = Task.Run(() => PipelineRun.TrainAsync(plan, new ObserverChain(Watch, Notices), coordinator =>
        {
            Desk = new CommandDesk(new OperatedRun(Files, coordinator, _ => Task.FromResult(nodes), _stop.Cancel), Watch);
            _coordinator.SetResult(coordinator);
        }, _stop.Token));
    }

    /// <summary>What happens at a step's end; may be given anew while the run is paused.</summary>
    internal Action<long, OperatedTinyRun>? AtStep { get; set; }

    internal RunFiles Files { get; }

    internal RunWatch Watch { get; }

    internal NoticeList Notices { get; }

    internal CommandDesk Desk { get; private set; } = null!;

    internal Task<RunOutcome> Ended { get; }

    internal static async Task<OperatedTinyRun> StartAsync(string folder, TrainingPlan plan, Action<long, OperatedTinyRun>? atStep = null)
    {
        OperatedTinyRun run = new(folder, plan, atStep);
        await run._coordinator.Task.WaitAsync(Patience);
        return run;
    }

    internal Task<CommandAnswer> RunAsync(string line, string id = "") => Desk.RunAsync(new CommandCall(line, "tester", id), CancellationToken.None).WaitAsync(Patience);

    /// <summary>Waits for a phase by asking: each question is answered by the coordinator in its turn.</summary>
    internal async Task<RunStatus> ReachAsync(string phase)
    {
        using CancellationTokenSource limit = new(Patience);
        while (true)
        {
            var status = await Desk.Run.StatusAsync(limit.Token);
            if (status.Phase == phase) return status;
            limit.Token.ThrowIfCancellationRequested();
            await Task.Yield();
        }
    }
}
