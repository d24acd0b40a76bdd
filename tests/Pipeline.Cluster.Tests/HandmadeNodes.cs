using Pipeline.Chaos;

namespace Pipeline.Cluster.Tests;

/// <summary>Nodes on loopback that a test starts one by one, as an operator does, each with what the test gives it.</summary>
/// <param name="tiny">Whose folder has their token.</param>
/// <param name="cluster">Name of their cluster.</param>
internal sealed class HandmadeNodes(TinyTraining tiny, string cluster)
{
    /// <summary>Starts one.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="port">Its port.</param>
    /// <param name="controlPort">Port of commands; 0 for any.</param>
    /// <param name="seeds">Its seed nodes, as host:port.</param>
    /// <param name="place">What its command line begins with; nothing for the program.</param>
    /// <param name="more">Further settings, as <c>key=value</c>.</param>
    internal ProgramRun Start(string name, int port, int controlPort, IReadOnlyList<string> seeds, IReadOnlyList<string>? place = null, params IEnumerable<string> more) => ProgramRun.StartAt(
        place ?? [], ["node", "--name", name, "--until-stdin-closes", "--set", $"cluster.port={port}", .. Settings(controlPort, seeds), .. more.SelectMany(setting => new[] { "--set", setting })]);

    /// <summary>Words of the command line that nodes and whoever commands them have in common.</summary>
    internal IEnumerable<string> Settings(int controlPort, IReadOnlyList<string> seeds) =>
    [
        "--set", $"cluster.name={cluster}", "--set", $"cluster.control-port={controlPort}", "--set", $"cluster.token-file={tiny.In(cluster + ".token")}",
        "--set", $"cluster.seed-nodes=[{string.Join(",", seeds)}]",
    ];

    /// <summary>Waits until a node has joined, or has founded its cluster.</summary>
    internal static Task UpAsync(ProgramRun node) => node.SaysAsync("is up");
}
