using System.Net;
using Akka.Actor;
using Pipeline.Cli.Configuration;
using Pipeline.Coordinator;
using Pipeline.Nodes;
using Pipeline.Operator;
using Pipeline.Protocol;
using Pipeline.Runs;

namespace Pipeline.Cli.Execution;

/// <summary>
/// Lets a run in one process be watched and commanded through <c>endpoint.json</c>, on loopback only, as a run over many processes can be.
/// </summary>
internal sealed class OwnProcessControl : IRunObserver, IAsyncDisposable
{
    private const int MostEarly = 64;
    private static readonly TimeSpan LastPatience = TimeSpan.FromSeconds(2);
    private readonly RunFiles _files;
    private readonly CancellationTokenSource _stop;
    private readonly RunWatch _watch;
    private readonly IReadOnlyList<OperatedNode> _nodes;
    private readonly ControlServer _server;
    private readonly RunMeter _meter;
    private readonly Uri? _formerPage;
    private readonly Lock _recordGate = new();
    private readonly List<RunNotice> _early = [];
    private IRunObserver? _records;
    private volatile CommandDesk _desk;
    private RunAttendance? _attendance;

    private OwnProcessControl(RunFiles files, RunId run, string device, long startStep, TimeProvider time, CancellationToken stop)
    {
        _nodes = [new(default, new NodeLine("local", Environment.ProcessId, [NodeRole.Coordinator, NodeRole.Stage], "", Environment.MachineName, true, device))];
        _formerPage = RunAttendance.FormerPage(files);
        _files = files;
        _stop = CancellationTokenSource.CreateLinkedTokenSource(stop);
        _meter = new RunMeter(time, run);
        _watch = new RunWatch(time, files, startStep);
        _desk = DeskOf(ActorRefs.Nobody);
        _server = ControlServer.Start(new IPEndPoint(IPAddress.Loopback, 0), ControlServer.NewToken(), AnswerAsync, refused: (source, reason) => _desk.Refused(source, reason));
    }

    /// <summary>Asks for the end of the run: by a command, or by what the caller gave.</summary>
    public CancellationToken Stop => _stop.Token;

    /// <summary>Opens the endpoint and writes its file.</summary>
    public static OwnProcessControl Open(RunFiles files, RunId run, string device, long startStep, TimeProvider time, CancellationToken stop)
    {
        OwnProcessControl control = new(files, run, device, startStep, time, stop);
        EndpointAnnouncement.Write(files.Endpoint, control._server, time);
        return control;
    }

    /// <summary>Has the run looked after: watchdog, dashboard.</summary>
    public async Task AttendAsync(CommandContext context, TelemetrySettings settings)
    {
        _attendance = await RunAttendance.StartAsync(context, settings, () => _desk, _server.Token, _formerPage).ConfigureAwait(false);
        if (_attendance.Address is not { } address) return;
        EndpointAnnouncement.Write(_files.Endpoint, _server, context.Time, address);
        context.Output.WriteLine($"watch    {address} (changes need the token in {_files.EndpointToken})");
    }

    /// <summary>
    /// Says where commands, refusals and warnings are written down while no coordinator does it, as with the unsplit trainer: also those that came before there
    /// was a place for them.
    /// </summary>
    public void RecordInto(IRunObserver records)
    {
        lock (_recordGate)
        {
            _records = records;
            foreach (var notice in _early) records.OnNotice(notice);
            _early.Clear();
        }
    }

    /// <summary>Waits for what was commanded last to be written down.</summary>
    public Task QuietAsync() => _desk.QuietAsync(LastPatience);

    /// <summary>The run has a coordinator, which takes requests.</summary>
    public void Led(IActorRef coordinator) => _desk = DeskOf(coordinator);

    public void OnNotice(RunNotice notice)
    {
        _watch.OnNotice(notice);
        _meter.OnNotice(notice);
    }

    public async ValueTask DisposeAsync()
    {
        EndpointAnnouncement.Remove(_files.Endpoint);
        if (_attendance is not null) await _attendance.DisposeAsync().ConfigureAwait(false);
        await _server.DisposeAsync().ConfigureAwait(false);
        _meter.Dispose();
        _stop.Dispose();
    }

    private CommandDesk DeskOf(IActorRef coordinator) => new(new OperatedRun(_files, coordinator, _ => Task.FromResult(_nodes), _stop.Cancel)
    {
        Generate = (prompt, cancellation) => GenerationProcess.RunAsync(_files, prompt, cancellation),
        Unled = Record,
    },
    _watch);

    private void Record(RunNotice notice)
    {
        lock (_recordGate)
        {
            if (_records is { } records) records.OnNotice(notice);
            else if (_early.Count < MostEarly) _early.Add(notice);
        }
    }

    private async Task<ControlReply> AnswerAsync(ControlRequest request, CancellationToken cancellation)
    {
        switch (request)
        {
            case { Command: ControlCommand.Status }:
                return new ControlReply(true, "", await StatusAsync(cancellation).ConfigureAwait(false));
            case { Command: ControlCommand.Stop }:
                await _stop.CancelAsync().ConfigureAwait(false);
                return new ControlReply(true, "The run stops after the step under way, saving first.");
            case { Command: ControlCommand.Operate, Line: { } line }:
                var answer = await _desk.RunAsync(new CommandCall(line, request.Operator ?? "", request.Id ?? ""), cancellation).ConfigureAwait(false);
                return new ControlReply(answer.IsDone, answer.Text, Json: answer.Json?.ToJsonString(), NeedsConsent: answer.NeedsConsent);
            case { Command: ControlCommand.Complete, Line: { } line }:
                return new ControlReply(true, string.Join('\n', await _desk.CompleteAsync(line, cancellation).ConfigureAwait(false)));
            default:
                return new ControlReply(false, $"The run has one process: there is nothing to {request.Command}. Start it with --processes to spread it.");
        }
    }

    private async Task<ControlStatus> StatusAsync(CancellationToken cancellation)
    {
        var run = _desk.Run;
        var status = run.IsLed ? await run.StatusAsync(cancellation).ConfigureAwait(false) : null;
        var line = _nodes[0].Line;
        return new ControlStatus(
            [new NodeStatus(line.Name, line.ProcessId, line.Roles, line.Address, line.Host, line.Leads)],
            status is null ? [new StageStatus(0, line.Name)] : [.. status.Stages.Select(stage => new StageStatus(stage.Rank, line.Name, "", stage.UnitCount, stage.Step))],
            status?.Generation.Number ?? 1,
            status?.Step ?? _watch.Last?.Step ?? 0,
            _stop.IsCancellationRequested ? "stopping" : status?.Phase ?? "running",
            _files.Folder,
            status?.ProtectedStep ?? 0,
            []);
    }
}
