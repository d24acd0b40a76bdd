using MessagePack;

namespace Pipeline.Protocol;

/// <summary>
/// What the bits of a result may depend on beside the run's own settings, and what nodes must have in common to understand each other. Two
/// nodes that differ must not share a run: <see cref="DifferencesFrom"/> says in what.
/// </summary>
/// <param name="Build">Version of this program.</param>
/// <param name="Wire">Version of the messages between processes.</param>
/// <param name="Processor">Architecture and vendor, such as <c>X64 AuthenticAMD</c>: a math library chooses its kernels by them.</param>
/// <param name="Features">Vector instructions that change how sums are grouped, in alphabetical order.</param>
/// <param name="Runtime">Version of .NET.</param>
/// <param name="TensorLibrary">Name and version of the tensor library.</param>
[MessagePackObject]
public sealed record PlatformFingerprint(
    [property: Key(0)] string Build,
    [property: Key(1)] int Wire,
    [property: Key(2)] string Processor,
    [property: Key(3)] IReadOnlyList<string> Features,
    [property: Key(4)] string Runtime,
    [property: Key(5)] string TensorLibrary)
{
    /// <summary>The version of the messages that this build speaks: raised with every change that an older build would misread.</summary>
    public const int CurrentWire = 2;

    /// <summary>A sentence for each difference, naming both sides; empty where they may share a run.</summary>
    /// <param name="leader">Fingerprint of the node that leads the run.</param>
    /// <param name="name">Name of this node, for the sentences.</param>
    public IReadOnlyList<string> DifferencesFrom(PlatformFingerprint leader, string name)
    {
        List<string> sentences = [];
        Compare("the program", Build, leader.Build, "Install the same version on both.");
        Compare("the wire format", $"version {Wire}", $"version {leader.Wire}", "Install the same version on both.");
        Compare("the processor", Processor, leader.Processor, "Use machines of one kind: the bits of a result would depend on where a stage runs.");
        Compare("vector instructions", List(Features), List(leader.Features), "Use machines of one kind: the bits of a result would depend on where a stage runs.");
        Compare("the runtime", $".NET {Runtime}", $".NET {leader.Runtime}", "Install the same version on both.");
        Compare("the tensor library", TensorLibrary, leader.TensorLibrary, "Install the same version on both.");
        return sentences;

        void Compare(string what, string own, string others, string remedy)
        {
            if (own != others) sentences.Add($"Node {name} differs from the leader in {what}: {own} there, {others} at the leader. {remedy}");
        }
    }

    private static string List(IReadOnlyList<string> features) => features.Count == 0 ? "none" : string.Join(" ", features);
}
