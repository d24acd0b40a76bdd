using Pipeline.Protocol;
using Pipeline.Protocol.Frames;
using Pipeline.Protocol.Links;

namespace Pipeline.Cli.Configuration;

/// <summary>Keys of <c>pipeline.link</c> beside its kind. None of them changes a run's numbers.</summary>
public static class LinkKeys
{
    private const int MaxTensorCount = 16;
    private const int MaxDimensionCount = 8;
    private const int BytesOfMebibyte = 1 << 20;

    /// <summary>Credits of a link.</summary>
    public static readonly WholeNumberSetting Window = new("link.window", 1, 4096, "MiB a link") { ChangesOnResume = true };

    /// <summary>Whether frames are checked where nothing else protects them.</summary>
    public static readonly FlagSetting Checksum = new("link.checksum") { ChangesOnResume = true };

    /// <summary>The largest frame.</summary>
    public static readonly WholeNumberSetting MaxFrame = new("link.max-frame", 1, 1024, "MiB a frame") { ChangesOnResume = true };

    /// <summary>Connections of a node.</summary>
    public static readonly WholeNumberSetting MaxConnections = new("link.max-connections", 4, 65_536, "connections a node") { ChangesOnResume = true };

    /// <summary>Connections of strangers.</summary>
    public static readonly WholeNumberSetting MaxPending = new("link.max-pending", 1, 4096, "connections a source") { ChangesOnResume = true };

    /// <summary>How long a stranger may take.</summary>
    public static readonly RealNumberSetting HandshakeTimeout = new("link.handshake-timeout", new(0.1, 60), "seconds") { ChangesOnResume = true };

    /// <summary>Signs of life.</summary>
    public static readonly RealNumberSetting Heartbeat = new("link.heartbeat", new(0.1, 60), "seconds") { ChangesOnResume = true };

    /// <summary>Patience with a silent peer.</summary>
    public static readonly RealNumberSetting Silence = new("link.silence", new(0.5, 600), "seconds") { ChangesOnResume = true };

    /// <summary>Pause between attempts.</summary>
    public static readonly RealNumberSetting MaxBackOff = new("link.max-back-off", new(0.01, 60), "seconds") { ChangesOnResume = true };

    /// <summary>All of them.</summary>
    public static IReadOnlyList<Setting> All { get; } = [Window, Checksum, MaxFrame, MaxConnections, MaxPending, HandshakeTimeout, Heartbeat, Silence, MaxBackOff];

    /// <summary>The keys with their values, as a node takes them on its command line.</summary>
    internal static IReadOnlyList<string> Words(ResolvedConfiguration from) => [.. All.Prepend(SettingsSchema.Link).Select(setting => $"{setting.Path}={from.TextOf(setting)}")];

    /// <summary>What both ends of a link must agree on.</summary>
    internal static IEnumerable<SharedSetting> Shared(ResolvedConfiguration from) =>
        All.Except([MaxConnections, MaxPending]).Prepend(SettingsSchema.Link).Select(setting => new SharedSetting(setting.Path, from.TextOf(setting)));

    /// <summary>The kind of link for what no run says one for.</summary>
    internal static LinkKindChoice Choice(ResolvedConfiguration from) => from.Get(SettingsSchema.Link) switch
    {
        LinkKind.Unix => LinkKindChoice.Unix,
        LinkKind.Tcp => LinkKindChoice.Tcp,
        LinkKind.Akka => LinkKindChoice.Akka,
        _ => LinkKindChoice.Automatic,
    };

    internal static LinkSettings From(ResolvedConfiguration from) => new()
    {
        WindowBytes = (long)from.Count(Window) * BytesOfMebibyte,
        HasChecksums = from.Get(Checksum),
        Limits = new FrameLimits(MaxTensorCount, MaxDimensionCount, (long)from.Count(MaxFrame) * BytesOfMebibyte),
        MaxConnectionCount = from.Count(MaxConnections),
        MaxPendingCount = from.Count(MaxPending),
        HandshakeTimeout = TimeSpan.FromSeconds(from.Get(HandshakeTimeout)),
        Heartbeat = TimeSpan.FromSeconds(from.Get(Heartbeat)),
        Silence = TimeSpan.FromSeconds(from.Get(Silence)),
        MaxBackOff = TimeSpan.FromSeconds(from.Get(MaxBackOff)),
    };
}
