using Pipeline.Protocol;
using static Pipeline.Protocol.ProfileProtocol;

namespace Pipeline.Nodes;

/// <summary>
/// One measurement of the nodes of a cluster: which are still to be asked, and what the others have answered. Of a machine one node measures at a time, since they share its
/// processors and memory; machines measure side by side. No actor.
/// </summary>
internal sealed class ProfileGathering
{
    /// <summary>Its words for how far a node is.</summary>
    internal const string Waiting = "waiting", Measuring = "measuring", Measured = "measured", Failed = "failed";

    /// <summary>A node that hears that it was given up ends; until then its process may compute.</summary>
    private static readonly TimeSpan EndPatience = TimeSpan.FromSeconds(30);

    private readonly ProfileNodes _ask;
    private readonly List<Entry> _entries = [];

    /// <summary>Begins with the nodes that are there.</summary>
    /// <param name="ask">What is asked.</param>
    /// <param name="nodes">The cluster's nodes.</param>
    internal ProfileGathering(ProfileNodes ask, IReadOnlyCollection<NodeInfo> nodes)
    {
        _ask = ask;
        foreach (var wanted in ask.Nodes.DistinctBy(node => node.Address))
        {
            var node = nodes.FirstOrDefault(node => node.Id.Address == wanted.Address);
            var entry = new Entry(wanted, node?.HostName ?? "");
            if (node is null) entry.End(Failed, "It is not there any more.");
            else if (!node.Roles.Contains(NodeInfo.StageRole)) entry.End(Failed, $"It does not have the role {NodeInfo.StageRole}, and will hold no units.");
            _entries.Add(entry);
        }
    }

    /// <summary>Tells it from others.</summary>
    internal string Id => _ask.Id;

    /// <summary>Whether there is nothing more to come.</summary>
    internal bool IsOver => _entries.All(entry => entry.Phase is Measured or Failed);

    /// <summary>A node that was lost while it measured, and whose end nobody sees, measures no longer than this.</summary>
    internal TimeSpan LongestRest => TimeSpan.FromSeconds(_ask.Seconds * _ask.Sizes.Count) + EndPatience;

    /// <summary>How far each node is.</summary>
    internal IReadOnlyList<NodeStanding> Standing => [.. _entries.Select(entry => new NodeStanding(entry.Node.Address, entry.Phase, entry.Sentence))];

    /// <summary>The nodes to ask now, with what: those whose machine is free. They count as measuring from then on.</summary>
    internal IReadOnlyList<(string Address, MeasureUnits Ask)> TakeNext()
    {
        List<(string, MeasureUnits)> next = [];
        foreach (var machine in _entries.GroupBy(entry => entry.Host))
        {
            if (machine.Any(entry => entry.HoldsMachine) || machine.FirstOrDefault(entry => entry.Phase == Waiting) is not { } first) continue;
            (first.Phase, first.HoldsMachine) = (Measuring, true);
            next.Add((first.Node.Address, new MeasureUnits(_ask.Id, _ask.Configuration, _ask.Sizes, _ask.Seconds, first.Node.RankCount)));
        }

        return next;
    }

    /// <summary>Enters an answer; one that nobody waits for says nothing.</summary>
    internal void Enter(UnitsMeasured measured)
    {
        if (measured.Id != _ask.Id || Find(measured.Address) is not { } entry) return;
        // Also of one that was lost: it computes no longer.
        entry.HoldsMachine = false;
        if (entry.Phase != Measuring) return;
        if (measured.Costs is null) entry.End(Failed, measured.Fault);
        else if (measured.Costs.Sizes.Sum(size => size.Units.Count) > MostCosts) entry.End(Failed, "It answered with more than it was asked.");
        else if (!Times(measured.Costs).All(double.IsFinite)) entry.End(Failed, "It answered with times that are no numbers.");
        else (entry.Costs, entry.Phase) = (measured, Measured);
    }

    /// <summary>A node is gone. While it measured its process may go on, unseen, and the others of its machine wait until it has ended.</summary>
    /// <returns>Whether they wait.</returns>
    internal bool Lose(string address)
    {
        if (Find(address) is not { Phase: Waiting or Measuring } entry) return false;
        entry.End(Failed, "It was lost while it measured, or before.");
        return entry.HoldsMachine;
    }

    /// <summary>The process of a node that was lost has ended, or has had the time to.</summary>
    internal void Free(string address)
    {
        if (Find(address) is { Phase: Failed } entry) entry.HoldsMachine = false;
    }

    /// <summary>Whatever has not ended is given up.</summary>
    internal void GiveUp(string why)
    {
        foreach (var entry in _entries.Where(entry => entry.Phase is Waiting or Measuring)) entry.End(Failed, why);
    }

    /// <summary>What a node has measured; null where nothing is there.</summary>
    internal UnitsMeasured? Of(string address) => Find(address)?.Costs;

    private static IEnumerable<double> Times(MeasuredUnits costs) => costs.Sizes.SelectMany(size => size.Units)
        .SelectMany(unit => new[] { unit.Forward, unit.Backward, unit.InputGradient, unit.WeightGradient, unit.Optimizer, unit.SelectiveRecompute }).Append(costs.ActionOverhead).Append(costs.HopLatency);

    private Entry? Find(string address) => _entries.FirstOrDefault(entry => entry.Node.Address == address);

    private sealed class Entry(ProfiledNode node, string host)
    {
        public ProfiledNode Node => node;

        public string Host => host;

        public string Phase { get; set; } = Waiting;

        public string Sentence { get; private set; } = "";

        public UnitsMeasured? Costs { get; set; }

        /// <summary>Whether its process may be computing for the measurement.</summary>
        public bool HoldsMachine { get; set; }

        public void End(string phase, string sentence) => (Phase, Sentence) = (phase, sentence);
    }
}
