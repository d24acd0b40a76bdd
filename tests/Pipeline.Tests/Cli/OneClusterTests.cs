using Pipeline.Cli.Execution;
using Pipeline.Nodes;
using Pipeline.Runs;
using Xunit;

namespace Pipeline.Tests.Cli;

/// <summary>Row P1 of the fault matrix, at whoever submits a run: nodes that he names and that belong to several clusters are noticed.</summary>
public sealed class OneClusterTests
{
    [Fact]
    public void Answers_with_a_node_in_common_are_of_one_cluster_and_others_are_named_with_their_nodes()
    {
        Assert.Null(OneCluster.FaultOf([]));
        Assert.Null(OneCluster.FaultOf([Answer("a:1", "a", "b"), Answer("b:1", "b", "a"), Answer("c:1", "c", "b")]));
        // One that knows of nobody yet says nothing.
        Assert.Null(OneCluster.FaultOf([Answer("a:1", "a"), Answer("b:1")]));
        Assert.StartsWith("Two clusters answer: at a:1 that of a, b, and at c:1 that of c. They were founded apart.", OneCluster.FaultOf([Answer("a:1", "b", "a"), Answer("b:1", "a"), Answer("c:1", "c")]), StringComparison.Ordinal);
    }

    [Fact]
    public async Task All_are_asked_and_whoever_does_not_answer_is_left_out()
    {
        await OneCluster.RequireAsync(["a:1", "gone:1"], (contact, _) => Task.FromResult(contact == "a:1" ? Status("a") : null));
        var fault = await Assert.ThrowsAsync<RunException>(() => OneCluster.RequireAsync(["gone:1", "a:1", "b:1"], (contact, _) => Task.FromResult(contact == "gone:1" ? null : Status(contact))));
        Assert.Contains("at a:1 that of a:1, and at b:1 that of b:1", fault.Message, StringComparison.Ordinal);
        // Where there is only one, nobody is asked.
        await OneCluster.RequireAsync(["a:1"], (_, _) => throw new InvalidOperationException("asked"));
    }

    private static (string, IReadOnlyList<NodeStatus>) Answer(string contact, params string[] nodes) => (contact, Status(nodes)!.Nodes);

    private static ControlStatus? Status(params string[] nodes) => new([.. nodes.Select(node => new NodeStatus(node, 1, [], $"akka.tcp://pipeline@{node}", node, false))], [], 1, 0, "idle", "", 0, []);
}
