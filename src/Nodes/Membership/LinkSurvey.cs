using Akka.Actor;
using Pipeline.Protocol;
using static Pipeline.Protocol.MembershipProtocol;

namespace Pipeline.Nodes;

/// <summary>Asks all nodes for their links. Who does not answer soon is left out: a status must not wait for a node that is frozen.</summary>
internal static class LinkSurvey
{
    private static readonly TimeSpan Patience = TimeSpan.FromMilliseconds(300);

    /// <summary>The links of all that answer.</summary>
    internal static async Task<IReadOnlyList<LinkLine>> AskAsync(IReadOnlyList<ActorSelection> members)
    {
        var answers = await Task.WhenAll(members.Select(AskAsync)).ConfigureAwait(false);
        return [.. answers.SelectMany(answer => answer).OrderBy(link => link.FromRank).ThenBy(link => link.ToRank).ThenBy(link => link.Purpose, StringComparer.Ordinal)];
    }

    private static async Task<IReadOnlyList<LinkLine>> AskAsync(ActorSelection member)
    {
        try
        {
            return (await member.Ask<LinksDescribed>(new DescribeLinks(), Patience).ConfigureAwait(false)).Links;
        }
        catch (AskTimeoutException)
        {
            return [];
        }
    }
}
