using Pipeline.Protocol;

namespace Pipeline.Stages;

/// <summary>A point that a rank's compute thread passes: before an action, a copy, a save, an evaluation, or after the state is loaded.</summary>
/// <param name="Name">load, forward, backward, optimizer, copy, save, evaluate, or another action's term.</param>
/// <param name="Rank">Rank.</param>
/// <param name="Step">Step under way; the one that the rank starts from for load.</param>
/// <param name="Generation">The rank's assignment.</param>
public readonly record struct StagePoint(string Name, int Rank, long Step, Generation Generation);
