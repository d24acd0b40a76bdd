using Pipeline.Protocol.Links;

namespace Pipeline.Stages;

/// <summary>What the stages of a node send tensors to other nodes with. One for each process; whoever starts the hub ends it.</summary>
/// <param name="Hub">The node's end of all links.</param>
/// <param name="Choice">What the user wants of the choice of links.</param>
public sealed record NodeLinks(LinkHub Hub, LinkKindChoice Choice);
