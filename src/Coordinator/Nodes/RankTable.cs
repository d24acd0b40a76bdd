using Akka.Actor;
using Pipeline.Protocol;

namespace Pipeline.Coordinator;

/// <summary>
/// The present assignment: generation, units, where each rank lies, and how far its making has come. Used by the coordinator's handlers only.
/// </summary>
/// <param name="run">The run.</param>
internal sealed class RankTable(CoordinatedRun run)
{
    private readonly HashSet<int> _unassigned = [];
    private readonly HashSet<int> _unready = [];
    private UnitDivision _division = DivisionOf(run);

    /// <summary>Present assignment.</summary>
    internal Generation Generation { get; set; } = run.Predecessor?.Entry.Generation ?? Generation.First;

    /// <summary>The generation since which the ranks hold their units.</summary>
    internal Generation PartitionedIn { get; private set; } = run.Predecessor?.Entry.PartitionedIn ?? Generation.First;

    /// <summary>The replicas, and how ranks are numbered.</summary>
    internal ReplicaMesh Mesh { get; private set; } = MeshOf(run);

    /// <summary>Units of each stage of the first replica.</summary>
    internal IReadOnlyList<int> UnitCounts => _division.UnitCounts;

    /// <summary>How units and micro-batches are divided now.</summary>
    internal UnitDivision Division => _division;

    /// <summary>The first replica's schedule in text form.</summary>
    internal string Schedule => _division.Schedule;

    /// <summary>Replicas of the pipeline now.</summary>
    internal int ReplicaCount => Mesh.ReplicaCount;

    /// <summary>Ranks of all replicas; those behind them add up what these contribute.</summary>
    internal int ReplicaRankCount => Mesh.ReplicaRankCount;

    /// <summary>Ranks that add up beside the replicas.</summary>
    internal int ReducerCount => Mesh.ReducerCount;

    /// <summary>All ranks: replica by replica, then the reducers.</summary>
    internal int RankCount => Mesh.RankCount;

    /// <summary>Memory that each rank needs; 0 where it is not known. A reducer holds sums of gradients only: less than a rank of its stages.</summary>
    internal IReadOnlyList<long> RankBytes
    {
        get
        {
            var known = _division.RankBytes.Count == ReplicaRankCount ? _division.RankBytes : run.RankBytes.Count == ReplicaRankCount ? run.RankBytes : new long[ReplicaRankCount];
            return [.. known, .. known.Take(ReducerCount)];
        }
    }

    /// <summary>The most ranks that one node was given when the run began: what counts as room. 0 where that is not known.</summary>
    internal int MostPerNode { get; set; } = run.Predecessor?.Entry.MostPerNode ?? 0;

    /// <summary>Ranks of the first replica, which all have as many of where they are alike.</summary>
    internal int RanksPerReplica => Mesh.First.RankCount;

    /// <summary>For each stage the rank of the first replica that holds it. Schedules differ in that: some lead back up, so that rank 0 has the last stage.</summary>
    internal IReadOnlyList<int> RankOfStage => Mesh.First.Schedule.RankOfStage;

    /// <summary>The state that the ranks began from with these units.</summary>
    internal StartingPoint Base
    {
        get;
        set
        {
            field = value;
            IsBaseGone = false;
        }
    } = run.Predecessor?.Entry.Base ?? StartingPoint.Checkpoint(run.Plan.StartStep);

    /// <summary>Whether a copy that belongs to it was not where it should be.</summary>
    internal bool IsBaseGone { get; set; }

    /// <summary>Evaluations, the end, what was changed of them.</summary>
    internal StepCadence Cadence { get; set; } = run.Plan.Cadence;

    /// <summary>Where each rank lies.</summary>
    internal IReadOnlyList<RankPlace> Places { get; private set; } = [];

    /// <summary>The ranks' actors.</summary>
    internal IReadOnlyList<IActorRef> Refs { get; private set; } = [];

    /// <summary>The step that each rank last started from, and where its state came from.</summary>
    internal Dictionary<int, StartingPoint> Starts { get; } = [];

    /// <summary>By replica, the number of its machine when the ranks were given their units; null where nobody asks.</summary>
    internal IReadOnlyList<int>? Machines { get; set; } = run.Predecessor?.Entry.Machines;

    /// <summary>Ranks that have an assignment under way and have not said that they take inputs.</summary>
    internal IReadOnlyCollection<int> Unassigned => _unassigned;

    /// <summary>Ranks that have not said that they have their state.</summary>
    internal IReadOnlyCollection<int> Unready => _unready;

    /// <summary>Whether all ranks take inputs of the present assignment, so that steps may be granted to those that are ready.</summary>
    internal bool IsOpen => _unassigned.Count == 0;

    /// <summary>The layout that all ranks are told.</summary>
    internal PipelineLayout Layout => new(
        run.Run, Generation, PartitionedIn, UnitCounts, Schedule, Places, run.Links,
        Cadence, run.Protection, run.Configuration, _division.Others, Machines, ReducerCount, run.AheadByteCount);

    /// <summary>Ranks that lie on a node.</summary>
    internal IReadOnlyList<int> On(NodeId node) => [.. Places.Index().Where(place => place.Item.Node == node).Select(place => place.Index)];

    /// <summary>Places all ranks.</summary>
    internal void Place(IReadOnlyList<RankPlace> places, IReadOnlyList<IActorRef> refs) => (Places, Refs) = (places, refs);

    /// <summary>
    /// A rank has spoken. Its path was resolved before its actor was made; on the coordinator's own node that gives a reference to nobody,
    /// and for good.
    /// </summary>
    internal void Speaks(int rank, IActorRef stage) => Refs = [.. Refs.Select((known, index) => index == rank ? stage : known)];

    /// <summary>Takes over ranks where they are, by the paths of their actors; lost ones lie nowhere.</summary>
    internal void Adopt(IReadOnlyList<(NodeId Node, string Path)> ranks) => Place([.. ranks.Select(rank => new RankPlace(rank.Node, rank.Path ?? "", "", null))], []);

    /// <summary>The ranks hold other units, or other micro-batches, from the present generation on.</summary>
    internal void Divide(UnitDivision division)
    {
        (_division, PartitionedIn) = (division, Generation);
        Mesh = ReplicaMesh.OfReplicas(division.UnitCounts, division.Schedule, division.Others, division.ReplicaCount ?? ReplicaCount, run.HasReducers);
        Machines = null;
        _unassigned.Clear();
        _unready.Clear();
        Starts.Clear();
    }

    private static ReplicaMesh MeshOf(CoordinatedRun run) => run.Predecessor?.Entry is { } entry
        ? entry.Replicas(run.HasReducers)
        : ReplicaMesh.OfRanks(run.UnitCounts, run.Schedule, run.Others, run.RankCount, run.HasReducers);

    private static UnitDivision DivisionOf(CoordinatedRun run) => run.Predecessor?.Entry is { } entry
        ? new UnitDivision(entry.UnitCounts, entry.Schedule) { Others = entry.Others, RankBytes = run.RankBytes }
        : new UnitDivision(run.UnitCounts, run.Schedule) { Others = run.Others, RankBytes = run.RankBytes };

    /// <summary>Units that a rank holds.</summary>
    internal int UnitCountOf(int rank) => Mesh.UnitCountOf(rank);

    /// <summary>Places in the model of the units that a rank holds, or adds up for; none of a number that no rank has any more.</summary>
    internal IReadOnlyList<int> UnitsOf(int rank) => (uint)rank < (uint)RankCount ? [.. Mesh.StagesOf(rank).UnitsOfRank(Mesh.PlaceOf(rank))] : [];

    /// <summary>A rank is being assigned.</summary>
    internal void Assigning(int rank, StartingPoint start)
    {
        Starts[rank] = start;
        _unassigned.Add(rank);
        _unready.Add(rank);
    }

    /// <summary>A rank takes inputs; true if it was the last of those awaited.</summary>
    internal bool Assigned(int rank) => _unassigned.Remove(rank) && _unassigned.Count == 0;

    /// <summary>A rank has its state; false if that was known.</summary>
    internal bool Ready(int rank) => _unready.Remove(rank);
}
