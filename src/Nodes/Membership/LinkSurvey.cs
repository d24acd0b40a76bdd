using Akka.Actor;
using Pipeline.Protocol;
using static Pipeline.Protocol.MembershipProtocol;

namespace Pipeline.Nodes;

/// <summary>Asks all nodes for their links and their load. Who does not answer soon is left out: a status must not wait for a node that is frozen.</summary>
internal static class LinkSurvey
{
    private static readonly TimeSpan Patience = TimeSpan.FromMilliseconds(300);

    /// <summary>The links of all that answer.</summary>
    internal static async Task<IReadOnlyList<LinkLine>> AskAsync(IReadOnlyList<ActorSelection> members)
    {
        var answers = await Task.WhenAll(members.Select(DescribedAsync)).ConfigureAwait(false);
        return [.. answers.SelectMany(answer => answer?.Links ?? []).OrderBy(link => link.FromRank).ThenBy(link => link.ToRank).ThenBy(link => link.Purpose, StringComparer.Ordinal)];
    }

    /// <summary>What the processes of all that answer have used.</summary>
    internal static async Task<IReadOnlyDictionary<NodeId, NodeLoad>> LoadsAsync(IReadOnlyList<(NodeId Node, ActorSelection Member)> members)
    {
        var answers = await Task.WhenAll(members.Select(async member => (member.Node, (await DescribedAsync(member.Member).ConfigureAwait(false))?.Load))).ConfigureAwait(false);
        return answers.Where(answer => answer.Load is not null).ToDictionary(answer => answer.Node, answer => answer.Load!);
    }

    private static async Task<LinksDescribed?> DescribedAsync(ActorSelection member)
    {
        try
        {
            return await member.Ask<LinksDescribed>(new DescribeLinks(), Patience).ConfigureAwait(false);
        }
        catch (AskTimeoutException)
        {
            return null;
        }
    }
}
