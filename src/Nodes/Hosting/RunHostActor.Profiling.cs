using Akka.Actor;
using static Pipeline.Protocol.ProfileProtocol;

namespace Pipeline.Nodes;

/// <summary>How the nodes of the cluster are measured while there is no run. A run that is submitted meanwhile goes first.</summary>
public sealed partial class RunHostActor
{
    private ProfileGathering? _profiling;

    private void ReceiveProfiling()
    {
        Receive<ProfileNodes>(OnProfileNodes);
        Receive<FetchProfile>(OnFetchProfile);
        Receive<UnitsMeasured>(OnUnitsMeasured);
        Receive<ProcessGone>(gone => EndProfiled(gone.Member));
        Receive<ProfiledRestTick>(tick => FreeProfiled(tick.Node));
    }

    private void OnProfileNodes(ProfileNodes ask)
    {
        var profiling = _profiling;
        if (profiling is null || profiling.Id != ask.Id)
        {
            if (Refusal() is { } refusal)
            {
                Sender.Tell(new ProfileStanding(false, refusal, []));
                return;
            }

            _profiling = profiling = new ProfileGathering(ask, [.. _nodes.Where(node => !_silent.Contains(node.Key)).Select(node => node.Value.Info)]);
            AskNext();
        }

        Sender.Tell(new ProfileStanding(true, "", profiling.Standing));

        string? Refusal() =>
            _submission is { } busy ? $"The cluster is busy with the run in {busy.Directory}, whose steps a measurement would disturb. Measure after its end."
            : _profiling is { IsOver: false } ? "The cluster's nodes are being measured for somebody else. Try again when that has ended."
            : null;
    }

    private void OnFetchProfile(FetchProfile ask) => Sender.Tell(
        (_profiling is { } known && known.Id == ask.Id ? known.Of(ask.Address) : null) ?? new UnitsMeasured(ask.Id, ask.Address, null, "Nothing is known here of such a measurement: another node leads the cluster by now. Measure again."));

    private void OnUnitsMeasured(UnitsMeasured measured)
    {
        _profiling?.Enter(measured);
        AskNext();
    }

    private void LoseProfiled(Address node)
    {
        if (_profiling is { } profiling && profiling.Lose(node.ToString())) Timers.StartSingleTimer(node, new ProfiledRestTick(node), profiling.LongestRest);
        AskNext();
    }

    /// <summary>The process of a node has ended for certain.</summary>
    private void EndProfiled(Address node)
    {
        _profiling?.Lose(node.ToString());
        FreeProfiled(node);
    }

    private void FreeProfiled(Address node)
    {
        _profiling?.Free(node.ToString());
        AskNext();
    }

    private void AskNext()
    {
        foreach (var (address, ask) in _profiling?.TakeNext() ?? []) MemberAt(Address.Parse(address)).Tell(ask);
    }

    /// <summary>A node that was lost while it measured has had the time to end.</summary>
    internal sealed record ProfiledRestTick(Address Node) : INoSerializationVerificationNeeded;
}
