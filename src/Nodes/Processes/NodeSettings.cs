using Pipeline.Operator;
using Pipeline.Protocol;
using Pipeline.Protocol.Links;
using Pipeline.Protocol.Security;

namespace Pipeline.Nodes;

/// <summary>What a process needs to know to become a node of a cluster.</summary>
public sealed record NodeSettings
{
    /// <summary>Its name, unique in the cluster.</summary>
    public required string Name { get; init; }

    /// <summary>The cluster's name: nodes of another one are strangers.</summary>
    public required string Cluster { get; init; }

    /// <summary>Name or address at which the others reach it.</summary>
    public required string Host { get; init; }

    /// <summary>Address that it listens on; null for <see cref="Host"/>.</summary>
    public string? Bind { get; init; }

    /// <summary>How it proves who it is; null for no TLS, and then it listens on loopback only.</summary>
    public SecuritySettings? Security { get; init; }

    /// <summary>Port of its actor system; 0 lets the system choose.</summary>
    public required int Port { get; init; }

    /// <summary>Nodes through which it joins, as host:port, the same list on every node. The first may found the cluster.</summary>
    public required IReadOnlyList<string> SeedNodes { get; init; }

    /// <summary>What it may be: coordinator, stage.</summary>
    public required IReadOnlyList<string> Roles { get; init; }

    /// <summary>Device of its stages.</summary>
    public string Device { get; init; } = "cpu";

    /// <summary>Measured speed of a matrix product in GFLOP/s, by which faster nodes are preferred; 0 where it was not measured.</summary>
    public double Speed { get; init; }

    /// <summary>Port on which it takes an operator's commands; 0 lets the system choose.</summary>
    public required int ControlPort { get; init; }

    /// <summary>File that holds what a command must show; made by the first node that finds none.</summary>
    public required string TokenPath { get; init; }

    /// <summary>How its links to other nodes behave; null where tensors travel as messages.</summary>
    public LinkSettings? Links { get; init; }

    /// <summary>What carries copies of states; for tensors the run says it.</summary>
    public LinkKindChoice LinkChoice { get; init; }

    /// <summary>Whether it also has a second actor system that carries frames where sockets cannot.</summary>
    public bool HasTunnels { get; init; }

    /// <summary>Settings that it must have in common with the other nodes, beside those that it needs to find them.</summary>
    public IReadOnlyList<SharedSetting> Shared { get; init; } = [];

    /// <summary>Name and version of the tensor library.</summary>
    public string TensorLibrary { get; init; } = "";

    /// <summary>How long it tries to join.</summary>
    public required TimeSpan JoinPatience { get; init; }

    /// <summary>Form of what it says.</summary>
    public LogFormat LogFormat { get; init; }

    /// <summary>File that says where it takes commands, written once it has joined; null for none.</summary>
    public string? EndpointPath { get; init; }
}
