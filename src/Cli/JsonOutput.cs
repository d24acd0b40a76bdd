using System.Text.Encodings.Web;
using System.Text.Json;

namespace Pipeline.Cli;

/// <summary>How <c>--json</c> is written.</summary>
internal static class JsonOutput
{
    /// <summary>Indented, and without escapes for quotes and signs that are harmless outside of web pages.</summary>
    public static JsonSerializerOptions Options { get; } = new() { WriteIndented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };
}
