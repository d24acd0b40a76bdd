namespace Pipeline.Cli.Configuration;

/// <summary>What <c>pipeline.precision</c> asks for.</summary>
public enum PrecisionChoice
{
    /// <summary>bf16 where this machine multiplies it markedly faster than fp32, else fp32.</summary>
    Auto,

    /// <summary>fp32 throughout.</summary>
    Fp32,

    /// <summary>bf16 products over fp32 master weights.</summary>
    Bf16,
}

/// <summary>Who chooses stages and schedule.</summary>
public enum PlanKind
{
    /// <summary>The settings.</summary>
    None,

    /// <summary>The planner.</summary>
    Auto,
}

/// <summary>What AdamW's second moments do once gradients are compressed.</summary>
public enum SecondMomentChoice
{
    /// <summary>Frozen with one-bit, else they follow.</summary>
    Auto,

    /// <summary>They follow the gradients as they arrive.</summary>
    Follow,

    /// <summary>They stay as the uncompressed steps have left them.</summary>
    Frozen,
}

/// <summary>Whether a run goes on with fewer replicas while there is no room for all.</summary>
public enum ElasticChoice
{
    /// <summary>Where no bit depends on it.</summary>
    Auto,

    /// <summary>Yes.</summary>
    On,

    /// <summary>No: lost ranks go to the nodes that are left, however crowded.</summary>
    Off,
}

/// <summary>Where checkpoints lie.</summary>
public enum CheckpointStoreKind
{
    /// <summary>In the run directory.</summary>
    Folder,

    /// <summary>In a bucket of S3, or of a server that speaks like it.</summary>
    S3,
}

/// <summary>How tensors travel between stages.</summary>
public enum LinkKind
{
    /// <summary>By reference within a process, as frames between processes.</summary>
    Auto,

    /// <summary>By reference.</summary>
    Reference,

    /// <summary>As frames of bytes even within a process: slower, for tests and measurements.</summary>
    Frames,

    /// <summary>Between processes over Unix sockets.</summary>
    Unix,

    /// <summary>Between processes over TCP.</summary>
    Tcp,

    /// <summary>Between processes over a second actor system.</summary>
    Akka,
}

/// <summary>Where copies of the stages' state go.</summary>
public enum ProtectionChoice
{
    /// <summary>Into other processes' memory where there are any.</summary>
    Auto,

    /// <summary>Nowhere.</summary>
    None,

    /// <summary>Into other processes' memory.</summary>
    Memory,

    /// <summary>Into a folder.</summary>
    Disk,
}
