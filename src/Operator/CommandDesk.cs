using Pipeline.Coordinator;
using Pipeline.Protocol.Security;

namespace Pipeline.Operator;

/// <summary>
/// Where commands to a run arrive, whichever way they came: it finds them in the catalogue, asks for consent, carries them out once, and has
/// what changes anything written to the audit. Safe for many threads.
/// </summary>
/// <param name="run">The run.</param>
/// <param name="watch">What has been seen of it.</param>
public sealed class CommandDesk(OperatedRun run, RunWatch watch)
{
    private const int RememberedCalls = 1024;
    private readonly Lock _gate = new();
    private readonly RefusalRate _refusals = new();
    // Also those that a former leader has carried out: an answer may have been lost with it.
    private readonly HashSet<string> _calls = new(watch.FormerCalls, StringComparer.Ordinal);
    private readonly Queue<string> _order = new(watch.FormerCalls);
    private int _underWay;

    /// <summary>What has been seen of the run.</summary>
    public RunWatch Watch { get; } = watch;

    /// <summary>The run.</summary>
    public OperatedRun Run => run;

    /// <summary>Carries out a command.</summary>
    public async Task<CommandAnswer> RunAsync(CommandCall call, CancellationToken cancellation)
    {
        Interlocked.Increment(ref _underWay);
        try
        {
            return await CarryOutAsync(call, cancellation).ConfigureAwait(false);
        }
        finally
        {
            Interlocked.Decrement(ref _underWay);
        }
    }

    /// <summary>Waits until what is being carried out is done and written down: before that is closed in which it is written.</summary>
    public async Task QuietAsync(TimeSpan patience)
    {
        var start = TimeProvider.System.GetTimestamp();
        while (Volatile.Read(ref _underWay) > 0 && TimeProvider.System.GetElapsedTime(start) < patience) await Task.Delay(TimeSpan.FromMilliseconds(10)).ConfigureAwait(false);
    }

    private async Task<CommandAnswer> CarryOutAsync(CommandCall call, CancellationToken cancellation)
    {
        CommandRequest request = new(CommandWords.Parse(call.Line), run, Watch, cancellation);
        if (CommandCatalogue.FaultOf(request.Words) is { } fault) return new CommandAnswer(false, fault);
        var command = CommandCatalogue.Find(request.Words.Name)!;
        if (!command.IsChange || command.QueryWords.Contains(request[0])) return await AnsweredAsync(command, request).ConfigureAwait(false);
        var answer = await ChangeAsync(command, request, call).ConfigureAwait(false);
        if (!answer.NeedsConsent) run.Record(new RunNotice.Commanded(SafeText.Of(call.Operator), SafeText.Of(call.Line), answer.IsDone, SafeText.Of(answer.Text, 400), SafeText.Of(call.Id)));
        return answer;
    }

    /// <summary>A request that did not show the token, or is not to be trusted, for the audit.</summary>
    public void Refused(string from, string why)
    {
        if (_refusals.Admit(Watch.Time) is { } unsaid)
            run.Record(new RunNotice.Commanded(SafeText.Of(from), "", false, SafeText.Of(unsaid > 0 ? $"{why} ({unsaid} more refusals since the last line)" : why, 400)));
    }

    /// <summary>The words that may stand at the end of an unfinished line.</summary>
    public async Task<IReadOnlyList<string>> CompleteAsync(string line, CancellationToken cancellation)
    {
        try
        {
            return await LineCompletion.ForAsync(line, run, Watch, cancellation).ConfigureAwait(false);
        }
        catch (OperatorException)
        {
            return [];
        }
    }

    private async Task<CommandAnswer> ChangeAsync(OperatorCommand command, CommandRequest request, CommandCall call)
    {
        if (command.Warning is { } warning && !request.Has(CommandCatalogue.Consent)) return new CommandAnswer(false, warning(request), NeedsConsent: true);
        return IsRepeated(call.Id)
            ? new CommandAnswer(false, "This call was carried out already; it is not done twice. Send a new one.")
            : await AnsweredAsync(command, request).ConfigureAwait(false);
    }

    private static async Task<CommandAnswer> AnsweredAsync(OperatorCommand command, CommandRequest request)
    {
        try
        {
            return await command.Run(request).ConfigureAwait(false);
        }
        catch (OperatorException refusal)
        {
            return new CommandAnswer(false, refusal.Message);
        }
        catch (Exception fault) when (fault is Runs.RunException or Checkpoints.CheckpointException or IOException or UnauthorizedAccessException)
        {
            return new CommandAnswer(false, fault.Message);
        }
    }

    private bool IsRepeated(string id)
    {
        if (id.Length == 0) return false;
        // As it is written down.
        id = SafeText.Of(id);
        lock (_gate)
        {
            if (!_calls.Add(id)) return true;
            _order.Enqueue(id);
            if (_order.Count > RememberedCalls) _calls.Remove(_order.Dequeue());
            return false;
        }
    }
}
