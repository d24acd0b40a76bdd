using System.Text;
using System.Text.Json;

namespace Pipeline.Cli.Configuration;

/// <summary>Prints a resolved configuration: as HOCON that reads back to the same values (also the run's <c>config.conf</c>), or as JSON.</summary>
public static class ConfigurationPrinter
{
    /// <summary>One line a key, with its origin behind it where wanted.</summary>
    public static string Hocon(ResolvedConfiguration configuration, bool withOrigins = true)
    {
        StringBuilder text = new();
        var width = withOrigins ? configuration.Values.Max(value => Assignment(value).Length) : 0;
        foreach (var value in configuration.Values)
            text.Append(withOrigins ? $"{Assignment(value).PadRight(Math.Min(width, 60))}  # {value.Origin}" : Assignment(value)).Append('\n');
        return text.ToString();
    }

    /// <summary>A JSON object with a property for each key: value, and origin where wanted.</summary>
    public static string Json(ResolvedConfiguration configuration, bool withOrigins = true)
    {
        using MemoryStream stream = new();
        using (Utf8JsonWriter writer = new(stream, new() { Indented = true }))
        {
            writer.WriteStartObject();
            foreach (var value in configuration.Values) WriteJson(writer, value, withOrigins);
            writer.WriteEndObject();
        }

        return Encoding.UTF8.GetString(stream.ToArray()) + "\n";
    }

    private static string Assignment(ResolvedValue value) => $"{value.Setting.FullPath} = {value.Text}";

    private static void WriteJson(Utf8JsonWriter writer, ResolvedValue value, bool withOrigins)
    {
        writer.WriteStartObject(value.Setting.FullPath);
        writer.WritePropertyName("value");
        switch (value.Value)
        {
            case null: writer.WriteNullValue(); break;
            case bool flag: writer.WriteBooleanValue(flag); break;
            case long number: writer.WriteNumberValue(number); break;
            case double number: writer.WriteNumberValue(number); break;
            case IReadOnlyList<double>: writer.WriteRawValue(value.Text); break;
            case string text: writer.WriteStringValue(text); break;
            default: writer.WriteStringValue(value.Text); break;
        }

        if (withOrigins)
        {
            writer.WriteString("origin", value.Origin.Layer);
            if (value.Origin.Line > 0) writer.WriteNumber("line", value.Origin.Line);
        }

        writer.WriteEndObject();
    }
}
