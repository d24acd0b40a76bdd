using MessagePack;

namespace Pipeline.Protocol;

/// <summary>
/// What the bits of a result may depend on beside the run's own settings, and what nodes must have in common to understand each other. Nodes
/// that do not speak alike (<see cref="SpeechDifferences"/>) cannot share a cluster; nodes that do not compute alike
/// (<see cref="BitDifferences"/>) must not hold stages of one run, though one that holds none may be different.
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
    public const int CurrentWire = 9;

    /// <summary>What keeps two nodes from understanding each other: a sentence for each difference, naming both sides.</summary>
    /// <param name="other">What this one is held against.</param>
    /// <param name="name">Name of this node, for the sentences.</param>
    /// <param name="otherName">Who the other is, such as <c>the leader</c>.</param>
    public IReadOnlyList<string> SpeechDifferences(PlatformFingerprint other, string name, string otherName) =>
    [
        .. Compare("the program", Build, other.Build, name, otherName, Install),
        .. Compare("the wire format", $"version {Wire}", $"version {other.Wire}", name, otherName, Install),
    ];

    /// <summary>What the bits of a stage would depend on, if it lay on one or on the other: a sentence for each difference, naming both sides.</summary>
    /// <inheritdoc cref="SpeechDifferences"/>
    public IReadOnlyList<string> BitDifferences(PlatformFingerprint other, string name, string otherName) =>
    [
        .. Compare("the processor", Processor, other.Processor, name, otherName, Kind),
        .. Compare("vector instructions", List(Features), List(other.Features), name, otherName, Kind),
        .. Compare("the runtime", $".NET {Runtime}", $".NET {other.Runtime}", name, otherName, Install),
        .. Compare("the tensor library", TensorLibrary, other.TensorLibrary, name, otherName, Install),
    ];

    private const string Install = "Install the same version on both.";

    private const string Kind = "Use machines of one kind, or take the role of a stage from this one: the bits of a result would depend on where a stage runs.";

    private static IEnumerable<string> Compare(string what, string own, string others, string name, string otherName, string remedy) =>
        own == others ? [] : [$"Node {name} differs from {otherName} in {what}: {own} there, {others} at {otherName}. {remedy}"];

    private static string List(IReadOnlyList<string> features) => features.Count == 0 ? "none" : string.Join(" ", features);
}
