namespace Pipeline.Cli.Machine;

/// <summary>Where trained tokenizers, token files and measurements of the machine are kept between runs.</summary>
public static class CacheFolder
{
    /// <summary>The folder named in the settings, else <c>pipeline</c> under <c>$XDG_CACHE_HOME</c> or <c>~/.cache</c>.</summary>
    public static string Of(string? setting, IReadOnlyDictionary<string, string> variables)
    {
        if (setting is not null) return Path.GetFullPath(setting);
        if (variables.TryGetValue("XDG_CACHE_HOME", out var cache) && Path.IsPathRooted(cache)) return Path.Combine(cache, "pipeline");
        var home = Environment.GetFolderPath(Environment.SpecialFolder.UserProfile);
        return OperatingSystem.IsWindows()
            ? Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.LocalApplicationData), "pipeline", "cache")
            : Path.Combine(home.Length > 0 ? home : Path.GetTempPath(), ".cache", "pipeline");
    }
}
