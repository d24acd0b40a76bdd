using Pipeline.Protocol.Security;

namespace Pipeline.Cli.Configuration;

/// <summary>Keys of <c>pipeline.security</c>. They hold paths of files, never a secret.</summary>
public static class SecurityKeys
{
    /// <summary>Whether nodes prove who they are.</summary>
    public static readonly FlagSetting Tls = new("security.tls") { ChangesOnResume = true };

    /// <summary>The authority's certificate.</summary>
    public static readonly OptionalSetting<string, string?> Authority = File("security.ca");

    /// <summary>This process's certificate.</summary>
    public static readonly OptionalSetting<string, string?> Certificate = File("security.certificate");

    /// <summary>Its key.</summary>
    public static readonly OptionalSetting<string, string?> Key = File("security.key");

    /// <summary>The only ones let in.</summary>
    public static readonly OptionalSetting<string, string?> Pins = File("security.pins");

    /// <summary>Those not let in.</summary>
    public static readonly OptionalSetting<string, string?> Revoked = File("security.revoked");

    /// <summary>All of them.</summary>
    public static IReadOnlyList<Setting> All { get; } = [Tls, Authority, Certificate, Key, Pins, Revoked];

    /// <summary>What the settings amount to; null without TLS.</summary>
    internal static SecuritySettings? Settings(ResolvedConfiguration from) =>
        from.Get(Tls) && from.Get(Authority) is { } authority && from.Get(Certificate) is { } certificate && from.Get(Key) is { } key
            ? new(authority, certificate, key, from.Get(Pins), from.Get(Revoked))
            : null;

    /// <summary>Paths that TLS needs and that are missing, and paths that would be ignored without it.</summary>
    internal static IEnumerable<ConfigurationFault> Faults(ResolvedConfiguration from)
    {
        foreach (var key in new[] { Authority, Certificate, Key })
        {
            if (from.Get(Tls) && from.Get(key) is null)
                yield return new(key.FullPath, from.OriginOf(key), $"Expected the path of a file, since {Tls.FullPath} is on. `pipeline certs init` and `pipeline certs issue` make it.");
        }

        foreach (var key in new[] { Authority, Certificate, Key, Pins, Revoked })
        {
            if (!from.Get(Tls) && from.Get(key) is not null)
                yield return new(key.FullPath, from.OriginOf(key), $"It would be ignored: {Tls.FullPath} is off. Leave it out, or set that to on.");
        }
    }

    private static OptionalSetting<string, string?> File(string path) => new(new TextSetting(path, "the path of a file")) { ChangesOnResume = true };
}
