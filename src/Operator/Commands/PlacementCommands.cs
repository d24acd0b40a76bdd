using Pipeline.Coordinator;

namespace Pipeline.Operator;

/// <summary>Which node holds what. All of it happens between steps and changes no bit of the training.</summary>
internal static class PlacementCommands
{
    private static readonly TimeSpan MovePatience = TimeSpan.FromSeconds(25);

    internal static IReadOnlyList<OperatorCommand> All { get; } =
    [
        new("drain", "NODE", "Moves a node's ranks to others at a step's boundary; it takes no further ones and may then be ended.")
        {
            Examples = [("drain node-2 --yes", "before maintenance")],
            ArgumentCount = (1, 1),
            Completions = [Completion.Node],
            IsChange = true,
            Warning = request => $"This moves all ranks of {request[0]} to other nodes at the next boundary; it takes no further ones.",
            Run = DrainAsync,
        },
        new("move", "RANK|UNIT NODE", "Puts a rank on a node, or gives a unit to the stage beside its own that lies there, at a step's boundary.")
        {
            Detail = "A number is a rank, anything else the name of a unit. Stages are units in a row, so that only a unit at the edge of its stage can change it.",
            Examples = [("move 1 node-4 --yes", "rank 1 goes on there with the same bits"), ("move layers.2.mlp node-2 --yes", "the stage beside it has one unit more")],
            ArgumentCount = (2, 2),
            Completions = [Completion.RankOrUnit, Completion.Node],
            IsChange = true,
            Warning = request => char.IsAsciiDigit(request[0]![0]) ? $"This moves rank {request[0]} to {request[1]} at the next boundary." : $"This gives unit {request[0]} to the stage on {request[1]} at the next boundary; all ranks load their units anew.",
            Run = MoveAsync,
        },
        new("rebalance", "", "Divides the units anew by the ranks' measured times, at a step's boundary.")
        {
            Detail = "Needs some measured steps. It says so where the units are divided as well as can be already.",
            Examples = [("rebalance", "after `explain` has named a straggler")],
            IsChange = true,
            Run = RebalanceAsync,
        },
        new("restart", "RANK", "Has a rank begin anew from its copy, or all from the newest checkpoint where there is none, as after a loss.")
        {
            Examples = [("restart 2 --yes", "a rank that does not move any more")],
            ArgumentCount = (1, 1),
            Completions = [Completion.Rank],
            IsChange = true,
            Warning = request => $"This has rank {request[0]} begin anew: steps since its newest copy, or checkpoint, are computed once more.",
            Run = request => request.Run.OperateAsync(new RestartRank((int)request.Number(0, "rank")), request.Cancellation),
        },
        new("cordon", "NODE", "Gives a node no further ranks; those that it has stay.")
        {
            Examples = [("cordon node-3", "it is left alone by placements to come")],
            ArgumentCount = (1, 1),
            Completions = [Completion.Node],
            IsChange = true,
            Run = request => CordonAsync(request, true),
        },
        new("uncordon", "NODE", "Lets a node take ranks again.")
        {
            Examples = [("uncordon node-3", "undoes a cordon")],
            ArgumentCount = (1, 1),
            Completions = [Completion.Node],
            IsChange = true,
            Run = request => CordonAsync(request, false),
        },
    ];

    private static async Task<CommandAnswer> MoveAsync(CommandRequest request)
    {
        var node = await request.Run.NodeAsync(request[1], request.Cancellation).ConfigureAwait(false);
        IOperation move = char.IsAsciiDigit(request[0]![0]) ? new MoveRank((int)request.Number(0, "rank"), node.Id) : new MoveUnit(request[0]!, node.Id);
        return await request.Run.OperateAsync(move, request.Cancellation, MovePatience).ConfigureAwait(false);
    }

    private static async Task<CommandAnswer> DrainAsync(CommandRequest request)
    {
        var node = await request.Run.NodeAsync(request[0], request.Cancellation).ConfigureAwait(false);
        var done = await request.Run.AskAsync<NodeDrained>(new DrainNode(node.Id), MovePatience, request.Cancellation).ConfigureAwait(false);
        return done.Refusal is { } refusal ? new CommandAnswer(false, refusal) : new CommandAnswer(true, $"{node.Line.Name} hosts nothing any more.");
    }

    private static async Task<CommandAnswer> RebalanceAsync(CommandRequest request)
    {
        var done = await request.Run.AskAsync<Rebalanced>(Rebalance.Instance, MovePatience, request.Cancellation).ConfigureAwait(false);
        return done.Refusal is { } refusal ? new CommandAnswer(false, refusal) : new CommandAnswer(true, $"The units are divided {string.Join(" + ", done.UnitCounts)} from the end of step {done.Step} on.");
    }

    private static async Task<CommandAnswer> CordonAsync(CommandRequest request, bool isCordoned) => await request.Run.OperateAsync(
        new CordonNode((await request.Run.NodeAsync(request[0], request.Cancellation).ConfigureAwait(false)).Id, isCordoned), request.Cancellation).ConfigureAwait(false);
}
