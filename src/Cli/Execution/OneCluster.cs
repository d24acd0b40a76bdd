using Pipeline.Nodes;
using Pipeline.Runs;

namespace Pipeline.Cli.Execution;

/// <summary>
/// Whether all who answer where a cluster takes commands belong to one. Nodes with other lists of seed nodes may have founded several, which do not know of each other; whoever names
/// nodes of both sees it.
/// </summary>
internal static class OneCluster
{
    /// <summary>Of those who are there all answer within this; who does not is left out, as a machine that is switched off.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);

    /// <summary>Asks all.</summary>
    /// <param name="contacts">Where commands are taken.</param>
    /// <param name="ask">Asks one of them for its status; null where nobody answers.</param>
    /// <exception cref="RunException">They belong to several.</exception>
    internal static async Task RequireAsync(IReadOnlyList<string> contacts, Func<string, TimeSpan, Task<ControlStatus?>> ask)
    {
        if (contacts.Count < 2) return;
        var answers = await Task.WhenAll(contacts.Select(async contact => (Contact: contact, Status: await ask(contact, Patience).ConfigureAwait(false)))).ConfigureAwait(false);
        List<(string, IReadOnlyList<NodeStatus>)> there = [];
        foreach (var (contact, status) in answers)
        {
            if (status is not null) there.Add((contact, status.Nodes));
        }

        if (FaultOf(there) is { } fault) throw new RunException(fault);
    }

    /// <summary>Sentences for people where two answers have no node in common; null where all are of one cluster.</summary>
    /// <param name="answers">Who answered, and the nodes of its cluster.</param>
    internal static string? FaultOf(IReadOnlyList<(string Contact, IReadOnlyList<NodeStatus> Nodes)> answers)
    {
        foreach (var (index, one) in answers.Index())
        {
            foreach (var other in answers.Take(index))
            {
                var isApart = one.Nodes.Count > 0 && other.Nodes.Count > 0 && !one.Nodes.Select(node => node.Address).Intersect(other.Nodes.Select(node => node.Address), StringComparer.Ordinal).Any();
                if (isApart) return $"Two clusters answer: {Named(other)}, and {Named(one)}. They were founded apart. Give every node the same list of cluster.seed-nodes in the same order, start the nodes of one of both anew, and submit the run again.";
            }
        }

        return null;
    }

    private static string Named((string Contact, IReadOnlyList<NodeStatus> Nodes) answer) =>
        $"at {answer.Contact} that of {string.Join(", ", answer.Nodes.Select(node => node.Name).Order(StringComparer.Ordinal))}";
}
