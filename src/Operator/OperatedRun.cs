using Akka.Actor;
using Pipeline.Coordinator;
using Pipeline.Protocol;
using Pipeline.Runs;

namespace Pipeline.Operator;

/// <summary>A node as commands name it.</summary>
/// <param name="Id">Which one the coordinator knows.</param>
/// <param name="Line">What operators see of it.</param>
public sealed record OperatedNode(NodeId Id, NodeLine Line);

/// <summary>The run that commands are about: its files, its coordinator, the nodes that are there. Safe for many threads.</summary>
/// <param name="files">The run directory.</param>
/// <param name="coordinator">Its coordinator; nobody for the unsplit trainer and before the run begins.</param>
/// <param name="nodes">Who is there.</param>
/// <param name="stop">Asks for the end after the step under way.</param>
public sealed class OperatedRun(RunFiles files, IActorRef coordinator, Func<CancellationToken, Task<IReadOnlyList<OperatedNode>>> nodes, Action stop)
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);
    private readonly LinkRates _rates = new(TimeProvider.System);

    /// <summary>The run directory.</summary>
    public RunFiles Files => files;

    /// <summary>Continues a text with the newest checkpoint's weights, without the ranks; null where nobody can.</summary>
    public Func<string, CancellationToken, Task<CommandAnswer>>? Generate { get; init; }

    /// <summary>The links between nodes, each as its sender sees it; none within one process.</summary>
    public Func<CancellationToken, Task<IReadOnlyList<LinkLine>>> Links { get; init; } = _ => Task.FromResult<IReadOnlyList<LinkLine>>([]);

    /// <summary>What the processes of nodes have used, as far as they say; none within one process.</summary>
    public Func<CancellationToken, Task<IReadOnlyDictionary<NodeId, NodeLoad>>> Loads { get; init; } = _ => Task.FromResult<IReadOnlyDictionary<NodeId, NodeLoad>>(new Dictionary<NodeId, NodeLoad>());

    /// <summary>Takes what is to be written to the run's events where no coordinator does; null where nobody can. Called from many threads.</summary>
    public Action<RunNotice>? Unled { get; init; }

    /// <summary>Whether what is recorded is written down, and comes back as a notice.</summary>
    internal bool IsRecorded => IsLed || Unled is not null;

    /// <summary>Whether a coordinator leads it; else it is computed unsplit in one thread.</summary>
    public bool IsLed => !coordinator.IsNobody();

    /// <summary>Asks for the end after the step under way.</summary>
    public void Stop() => stop();

    /// <summary>How the run stands.</summary>
    public Task<RunStatus> StatusAsync(CancellationToken cancellation) => AskAsync<RunStatus>(QueryStatus.Instance, Patience, cancellation);

    /// <summary>Who is there, by name.</summary>
    public Task<IReadOnlyList<OperatedNode>> NodesAsync(CancellationToken cancellation) => nodes(cancellation);

    /// <summary>The links between nodes, with their rates.</summary>
    public Task<IReadOnlyList<LinkRate>> LinksAsync(CancellationToken cancellation) => _rates.LookAsync(Links, cancellation);

    /// <summary>The node of a name.</summary>
    /// <exception cref="OperatorException">There is none.</exception>
    public async Task<OperatedNode> NodeAsync(string? name, CancellationToken cancellation)
    {
        var known = await nodes(cancellation).ConfigureAwait(false);
        return known.FirstOrDefault(node => node.Line.Name == name)
            ?? throw new OperatorException($"There is no node '{name}'. Expected one of {string.Join(", ", known.Select(node => node.Line.Name))}.");
    }

    /// <summary>Carries out an operation of the coordinator.</summary>
    public async Task<CommandAnswer> OperateAsync(IOperation operation, CancellationToken cancellation, TimeSpan? patience = null)
    {
        var result = await AskAsync<OperationResult>(operation, patience ?? Patience, cancellation).ConfigureAwait(false);
        return new CommandAnswer(result.IsDone, result.Sentence);
    }

    /// <summary>Asks the coordinator.</summary>
    /// <exception cref="OperatorException">It does not answer, or there is none.</exception>
    public async Task<T> AskAsync<T>(object question, TimeSpan patience, CancellationToken cancellation)
    {
        if (!IsLed) throw new OperatorException("Nobody leads the run: it has not begun yet (try again in a moment), or the unsplit trainer computes it (--reference), which can only be watched and stopped.");
        try
        {
            return await coordinator.Ask<T>(question, patience, cancellation).ConfigureAwait(false);
        }
        catch (Exception silence) when (silence is AskTimeoutException or TaskCanceledException)
        {
            throw new OperatorException($"The run did not answer within {patience.TotalSeconds:0} s; what was asked for may still happen. `status` says what it is at.");
        }
    }

    /// <summary>Has something written to the run's events.</summary>
    public void Record(RunNotice notice)
    {
        if (IsLed) coordinator.Tell(new RecordNotice(notice));
        else Unled?.Invoke(notice);
    }
}
