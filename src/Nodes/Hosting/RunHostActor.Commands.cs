using Akka.Actor;
using Akka.Event;
using Pipeline.Coordinator;
using Pipeline.Operator;
using Pipeline.Protocol;
using Pipeline.Runs;
using static Pipeline.Protocol.OperatorProtocol;

namespace Pipeline.Nodes;

/// <summary>How an operator's commands reach the desk of the run that is led here. The desk works on tasks; the answer goes to who asked.</summary>
public sealed partial class RunHostActor
{
    // An answer is one message of the control plane, whose frames are bounded.
    private const int LongestAnswer = 40_000;
    private static readonly TimeSpan NodesPatience = TimeSpan.FromSeconds(5);
    private static readonly CommandAnswered NoRun = new(false, "The cluster has no run. Submit one with: pipeline train --cluster", "", false);
    private CommandDesk? _desk;
    private IRunAttendance? _attendance;

    private void ReceiveCommands()
    {
        Receive<RunCommand>(OnCommand);
        Receive<CompleteCommand>(OnComplete);
        Receive<Attended>(OnAttended);
        Receive<AuditRefusal>(refusal => _desk?.Refused(refusal.Source, refusal.Reason));
        Receive<ListLinks>(_ => OnListLinks());
        Receive<ListLoads>(_ => OnListLoads());
        Receive<ListNodes>(_ => Sender.Tell(new NodeList([.. _nodes.Values.Select(node => new OperatedNode(node.Info.Id, LineOf(node)))])));
    }

    private void OnListLinks() => _ = LinkSurvey.AskAsync([.. _nodes.Keys.Select(MemberAt)]).PipeTo(Sender, success: links => new LinkList(links));

    private void OnListLoads() =>
        _ = LinkSurvey.LoadsAsync([.. _nodes.Select(node => (node.Value.Info.Id, MemberAt(node.Key)))]).PipeTo(Sender, success: loads => new LoadList(loads));

    private CommandDesk DeskFor(RunFiles files, RunWatch watch)
    {
        var (self, coordinator) = (Self, _coordinator);
        return new CommandDesk(
            new OperatedRun(files, coordinator, async cancellation => (await self.Ask<NodeList>(new ListNodes(), NodesPatience, cancellation).ConfigureAwait(false)).Nodes, () => coordinator.Tell(StopRun.Instance))
            {
                Links = async cancellation => (await self.Ask<LinkList>(new ListLinks(), NodesPatience, cancellation).ConfigureAwait(false)).Links,
                Loads = async cancellation => (await self.Ask<LoadList>(new ListLoads(), NodesPatience, cancellation).ConfigureAwait(false)).Loads,
                Generate = (prompt, cancellation) => _source.GenerateAsync(files, prompt, cancellation),
            },
            watch);
    }

    private void Attend(SubmitRun submission, CommandDesk desk)
    {
        _desk = desk;
        _ = _attend(Submission(submission), desk).PipeTo(Self, success: attendance => new Attended(submission, attendance), failure: fault => new Attended(submission, null, fault));
    }

    private void OnAttended(Attended attended)
    {
        if (attended.Fault is { } fault) _log.Say(LogLevel.ErrorLevel, new LogSaying("run-unattended", $"Nobody looks after the run in {attended.Submission.Directory}; it goes on."), fault);
        if (_desk is null || !ReferenceEquals(_submission, attended.Submission))
        {
            _ = attended.Attendance?.DisposeAsync().AsTask();
            return;
        }

        _attendance = attended.Attendance;
        if (_attendance?.Address is { } address) _announce(attended.Submission.Directory, address);
    }

    private void Leave()
    {
        _ = _attendance?.DisposeAsync().AsTask();
        (_attendance, _desk) = (null, null);
    }

    private static RunSubmission Submission(SubmitRun submission) =>
        new(submission.Configuration, submission.Directory, submission.ResumeFrom, submission.NodeCount, submission.Start, submission.IsLocked);

    private void OnCommand(RunCommand command)
    {
        if (_desk is { } desk) _ = desk.RunAsync(new CommandCall(command.Line, command.Operator, command.Id), CancellationToken.None).PipeTo(Sender, Self, OnWire, Failed);
        else Sender.Tell(NoRun);
    }

    private void OnVacate(Vacate vacate)
    {
        var asker = Sender;
        if (_coordinator.IsNobody())
        {
            asker.Tell(new Answer(true, "There is no run."));
            return;
        }

        _ = _coordinator.Ask<NodeDrained>(new DrainNode(vacate.Node), TimeSpan.FromSeconds(60)).PipeTo(
            asker,
            success: done => done.Refusal is { } refusal ? new Answer(false, refusal) : new Answer(true, "The node hosts nothing any more."),
            failure: _ => new Answer(false, "The node's stages were not moved in time."));
    }

    private void OnComplete(CompleteCommand command)
    {
        if (_desk is { } desk) _ = desk.CompleteAsync(command.Line, CancellationToken.None).PipeTo(Sender, Self, words => new CommandAnswered(true, Bounded(string.Join('\n', words)), "", false), Failed);
        else Sender.Tell(NoRun);
    }

    private static CommandAnswered OnWire(CommandAnswer answer)
    {
        var json = answer.Json?.ToJsonString() ?? "";
        return new CommandAnswered(answer.IsDone, Bounded(answer.Text), json.Length <= LongestAnswer ? json : "", answer.NeedsConsent);
    }

    private static CommandAnswered Failed(Exception fault) => new(false, $"The command failed: {fault.Message}", "", false);

    private static string Bounded(string text) => text.Length <= LongestAnswer ? text : text[..LongestAnswer] + "\n…";

    private sealed record Attended(SubmitRun Submission, IRunAttendance? Attendance, Exception? Fault = null) : INoSerializationVerificationNeeded;

    private sealed record ListLinks : INoSerializationVerificationNeeded;

    private sealed record LinkList(IReadOnlyList<LinkLine> Links) : INoSerializationVerificationNeeded;

    private sealed record ListLoads : INoSerializationVerificationNeeded;

    private sealed record LoadList(IReadOnlyDictionary<NodeId, NodeLoad> Loads) : INoSerializationVerificationNeeded;

    private sealed record ListNodes : INoSerializationVerificationNeeded;

    private sealed record NodeList(IReadOnlyList<OperatedNode> Nodes) : INoSerializationVerificationNeeded;
}
