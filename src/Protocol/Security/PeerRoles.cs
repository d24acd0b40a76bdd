namespace Pipeline.Protocol.Security;

/// <summary>What a process may be in a run. A certificate of the run's authority carries them, and nothing else grants them.</summary>
[Flags]
public enum PeerRoles
{
    /// <summary>Nothing: such a peer is let in nowhere.</summary>
    None = 0,

    /// <summary>May command stages.</summary>
    Coordinator = 1,

    /// <summary>May compute, report to the coordinator and exchange frames with its neighbours.</summary>
    Stage = 2,

    /// <summary>May ask and steer from outside: console, <c>ctl</c>, <c>top</c>. Is no member of the cluster.</summary>
    Operator = 4,

    /// <summary>Every role: what a process has where there is no TLS and therefore only loopback.</summary>
    All = Coordinator | Stage | Operator,
}

/// <summary>The roles as words, in settings, in certificates and as roles of the cluster's members.</summary>
public static class PeerRoleNames
{
    private static readonly (string Word, PeerRoles Role)[] Table =
        [("coordinator", PeerRoles.Coordinator), ("stage", PeerRoles.Stage), ("operator", PeerRoles.Operator)];

    /// <summary>The words.</summary>
    public static IReadOnlyList<string> Words { get; } = [.. Table.Select(row => row.Word)];

    /// <summary>One role by its word; none for any other word.</summary>
    public static PeerRoles Role(string word) => Table.FirstOrDefault(row => row.Word == word).Role;

    /// <summary>The words of roles.</summary>
    public static IReadOnlyList<string> Of(PeerRoles roles) => [.. Table.Where(row => roles.HasFlag(row.Role)).Select(row => row.Word)];

    /// <summary>For a sentence: <c>coordinator or stage</c>.</summary>
    public static string Phrase(PeerRoles roles, string joint = "or") => roles == PeerRoles.None ? "no role" : string.Join($" {joint} ", Of(roles));
}
