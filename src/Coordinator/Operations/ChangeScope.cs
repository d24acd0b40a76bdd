using Pipeline.Protocol;
using Pipeline.Reduction.Compression;

namespace Pipeline.Coordinator;

/// <summary>What of a run's exchange between replicas decides how its compression may change while it is under way.</summary>
/// <param name="IsInvariant">Whether no bit may depend on the number of replicas.</param>
/// <param name="FreezesMoments">Whether second moments stay as the first steps have left them.</param>
public sealed record CompressionScope(bool IsInvariant, bool FreezesMoments);

/// <summary>What a run is at the moment, as far as it decides what of it may be changed.</summary>
/// <param name="Progress">How far it is.</param>
/// <param name="IsSpread">Whether its ranks lie on nodes that may be lost one by one.</param>
/// <param name="Protection">Where copies go now, and how often.</param>
/// <param name="HolderCount">Nodes that can hold copies.</param>
/// <param name="ReplicaCount">Replicas now.</param>
/// <param name="Compression">What decides over compression.</param>
/// <param name="IsTrying">Whether the run is finding out by itself whether compression pays.</param>
internal sealed record ChangeScope(
    RunProgress Progress, bool IsSpread, ProtectionDuties Protection, int HolderCount, int ReplicaCount, CompressionScope Compression, bool IsTrying)
{
    /// <summary>Why copies may not go there, as a sentence; null if they may.</summary>
    internal string? FaultOf(ProtectionKind kind)
    {
        if (!IsSpread) return "The run has one process: copies would be lost with what they are copies of. Start it with --processes, or rely on checkpoints.";
        if (kind == ProtectionKind.Memory && HolderCount < 2) return "There is one node: nobody else can hold copies in memory. Start further nodes, or set protection disk.";
        return kind == ProtectionKind.Disk && Protection.Folder.Length == 0 ? "The run knows no folder for copies on disk. Start it with protection.folder, or set protection memory." : null;
    }

    /// <summary>Why what replicas exchange may not be compressed in a way, as a sentence; null if it may.</summary>
    internal string? FaultOf(SettingKind direction, CompressionKind kind)
    {
        if (ReplicaCount == 1) return "The run has one replica: nothing is exchanged that could be compressed. Start it with parallelism.data above 1.";
        if (IsTrying) return "The run is finding out whether compression pays (compression.kind = auto). Set it once `events` shows what came of that.";
        if (kind == CompressionKind.None) return null;
        if (Compression.IsInvariant) return "With numerics.summation = invariant no bit may depend on the number of replicas, and what compression loses does. Start the run with fast.";
        return kind == CompressionKind.OneBit && !Compression.FreezesMoments
            ? "one-bit needs second moments that stay as the first steps have left them, which is decided when a run begins: start it with compression.second-moment = frozen, or set another kind."
            : null;
    }
}
