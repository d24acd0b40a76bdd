using Akka.Actor;
using Pipeline.Protocol;
using static Pipeline.Protocol.OperatorProtocol;
using static Pipeline.Protocol.ProfileProtocol;

namespace Pipeline.Nodes;

/// <summary>Passes the requests of a control port on to whoever leads the cluster's run, wherever that is.</summary>
/// <param name="host">A proxy of the leader.</param>
internal sealed class HostRequests(IActorRef host)
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);
    private static readonly TimeSpan OperatePatience = TimeSpan.FromSeconds(28);
    private static readonly TimeSpan VacatePatience = TimeSpan.FromSeconds(45);

    internal async Task<ControlReply> AnswerAsync(ControlRequest request, CancellationToken cancellation) => request switch
    {
        { Command: ControlCommand.Status } => Described(await host.Ask<ClusterStatus>(new AskStatus(), Patience, cancellation).ConfigureAwait(false)),
        { Command: ControlCommand.Stop } => await AskAsync(new EndRun(), cancellation).ConfigureAwait(false),
        { Command: ControlCommand.Rebalance } => await AskAsync(new RebalanceRun(), cancellation).ConfigureAwait(false),
        { Command: ControlCommand.Operate, Line: { } line } => await OperateAsync(new RunCommand(line, request.Operator ?? "", request.Id ?? ""), cancellation).ConfigureAwait(false),
        { Command: ControlCommand.Complete, Line: { } line } => await OperateAsync(new CompleteCommand(line), cancellation).ConfigureAwait(false),
        { Command: ControlCommand.Submit, Run: { } run } =>
            await AskAsync(new SubmitRun(run.Configuration, run.Directory, run.ResumeFrom, run.NodeCount, run.Start, run.IsLocked), cancellation).ConfigureAwait(false),
        { Command: ControlCommand.Profile, Profile: { Id: not null, Configuration: not null, Sizes: not null, Nodes: not null } profile } => Measured(await host.Ask<ProfileStanding>(
            new ProfileNodes(profile.Id, profile.Configuration, profile.Sizes, profile.Seconds, [.. profile.Nodes.Select(node => new ProfiledNode(node.Address, node.Ranks))]), Patience, cancellation).ConfigureAwait(false)),
        { Command: ControlCommand.FetchProfile, Id: { } id, Node: { } address } => Measured(await host.Ask<UnitsMeasured>(new FetchProfile(id, address), Patience, cancellation).ConfigureAwait(false)),
        { Command: ControlCommand.ReportDead, Node: { } node } => await AskAsync(new ReportDead(node, request.ProcessId), cancellation).ConfigureAwait(false),
        _ => new ControlReply(false, $"There is no command '{request.Command}'. Expected status, stop, rebalance, submit, operate or profile."),
    };

    /// <summary>Has the stages of this node moved away; the node leaves whether that succeeds or not, since it was told to.</summary>
    internal async Task VacateAsync(NodeId node)
    {
        try
        {
            await host.Ask<Answer>(new Vacate(node), VacatePatience).ConfigureAwait(false);
        }
        catch (AskTimeoutException)
        {
            // Nobody leads, or the run does not move: whoever takes over finds the stages gone.
        }
    }

    /// <summary>Somebody was refused at this node's port; whoever leads the run writes it down.</summary>
    internal void Refused(string source, string reason) => host.Tell(new AuditRefusal(source, reason));

    private async Task<ControlReply> AskAsync(IRequest request, CancellationToken cancellation)
    {
        var answer = await host.Ask<Answer>(request, Patience, cancellation).ConfigureAwait(false);
        return new ControlReply(answer.IsDone, answer.Sentence);
    }

    private async Task<ControlReply> OperateAsync(IRequest request, CancellationToken cancellation)
    {
        var answer = await host.Ask<CommandAnswered>(request, OperatePatience, cancellation).ConfigureAwait(false);
        return new ControlReply(answer.IsDone, answer.Text, Json: answer.Json.Length > 0 ? answer.Json : null, NeedsConsent: answer.NeedsConsent);
    }

    private static ControlReply Measured(ProfileStanding standing) =>
        new(standing.IsDone, standing.Sentence, Profiled: [.. standing.Nodes.Select(node => new ProfiledStatus(node.Address, node.Phase, node.Sentence))]);

    private static ControlReply Measured(UnitsMeasured measured) => new(measured.Costs is not null, measured.Fault, Costs: measured.Costs);

    private static ControlReply Described(ClusterStatus status) => new(true, "", new ControlStatus(
        [.. status.Nodes.Select(node => new NodeStatus(node.Name, node.ProcessId, node.Roles, node.Address, node.Host, node.Leads, node.ThreadCount, node.MemoryByteCount, node.Speed))],
        [.. status.Stages.Select(stage => new StageStatus(stage.Rank, stage.Node, stage.Holder, stage.UnitCount, stage.Step))],
        status.Generation,
        status.Step,
        status.Phase,
        status.Directory,
        status.ProtectedStep,
        [.. status.Links.Select(link => new LinkStanding(
            link.From, link.To, link.Kind, link.Purpose, link.FromRank, link.ToRank, link.IsConnected, link.BytesSent, link.CreditBytes, link.QueuedBytes, link.ResentCount, link.ReconnectCount))]));
}
