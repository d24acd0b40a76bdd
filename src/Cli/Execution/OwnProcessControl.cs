using System.Net;
using Pipeline.Coordinator;
using Pipeline.Nodes;
using Pipeline.Runs;

namespace Pipeline.Cli.Execution;

/// <summary>
/// Lets a run in one process be asked and stopped through <c>endpoint.json</c>, on loopback only, as a run over many processes can be.
/// </summary>
internal sealed class OwnProcessControl : IRunObserver, IAsyncDisposable
{
    private readonly RunFiles _files;
    private readonly int _rankCount;
    private readonly CancellationTokenSource _stop;
    private readonly ControlServer _server;
    private long _step;

    private OwnProcessControl(RunFiles files, int rankCount, long startStep, CancellationToken stop)
    {
        (_files, _rankCount, _step) = (files, rankCount, startStep);
        _stop = CancellationTokenSource.CreateLinkedTokenSource(stop);
        _server = ControlServer.Start(new IPEndPoint(IPAddress.Loopback, 0), ControlServer.NewToken(), (request, _) => Task.FromResult(Answer(request)));
    }

    /// <summary>Asks for the end of the run: by a command, or by what the caller gave.</summary>
    public CancellationToken Stop => _stop.Token;

    /// <summary>Opens the endpoint and writes its file.</summary>
    public static OwnProcessControl Open(RunFiles files, int rankCount, long startStep, TimeProvider time, CancellationToken stop)
    {
        OwnProcessControl control = new(files, rankCount, startStep, stop);
        EndpointAnnouncement.Write(files.Endpoint, control._server, time);
        return control;
    }

    public void OnNotice(RunNotice notice)
    {
        if (notice is RunNotice.StepCommitted { Step.Step: var step }) Volatile.Write(ref _step, step);
    }

    public async ValueTask DisposeAsync()
    {
        EndpointAnnouncement.Remove(_files.Endpoint);
        await _server.DisposeAsync().ConfigureAwait(false);
        _stop.Dispose();
    }

    private ControlReply Answer(ControlRequest request)
    {
        switch (request.Command)
        {
            case ControlCommand.Status:
                return new ControlReply(true, "", Status());
            case ControlCommand.Stop:
                _stop.Cancel();
                return new ControlReply(true, "The run stops after the step under way, saving first.");
            default:
                return new ControlReply(false, $"The run has one process: there is nothing to {request.Command}. Start it with --processes to spread it.");
        }
    }

    private ControlStatus Status() => new(
        [new NodeStatus("local", Environment.ProcessId, [NodeRole.Coordinator, NodeRole.Stage], "", Environment.MachineName, true)],
        [.. Enumerable.Range(0, _rankCount).Select(rank => new StageStatus(rank, "local"))],
        1,
        Volatile.Read(ref _step),
        _stop.IsCancellationRequested ? "stopping" : "running",
        _files.Folder,
        0,
        []);
}
