using System.Reflection;

namespace Pipeline.Cli.Configuration;

/// <summary>The HOCON texts that the executable carries: the reference and the presets.</summary>
public static class Presets
{
    /// <summary>Name of the layer that holds every default.</summary>
    public const string ReferenceLayer = "reference.conf";

    /// <summary>Names of the presets, smallest first.</summary>
    public static IReadOnlyList<string> Names { get; } = ["gpt-nano", "gpt-micro", "gpt-small", "llama-nano"];

    /// <summary>Text of <c>hocon/reference.conf</c>.</summary>
    public static string ReferenceText => Read("hocon/reference.conf");

    /// <summary>The layer of a preset.</summary>
    public static ConfigurationLayer Layer(string name) => ConfigurationLayer.FromHocon("preset " + name, Read($"hocon/presets/{name}.conf"));

    /// <summary>The layer of the defaults.</summary>
    public static ConfigurationLayer Reference() => ConfigurationLayer.FromHocon(ReferenceLayer, ReferenceText);

    private static string Read(string name)
    {
        using var stream = Assembly.GetExecutingAssembly().GetManifestResourceStream(name)
            ?? throw new InvalidOperationException($"The executable carries no resource {name}.");
        using StreamReader reader = new(stream);
        return reader.ReadToEnd();
    }
}
