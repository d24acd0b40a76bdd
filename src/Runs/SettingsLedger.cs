using System.Text.Json;

namespace Pipeline.Runs;

/// <summary>A setting that was changed while the run was under way.</summary>
/// <param name="FromStep">The first step that it holds for.</param>
/// <param name="Setting">Its name.</param>
/// <param name="Value">Its value, where it is a number; else NaN.</param>
/// <param name="Word">Its value, where it is a word; else null.</param>
public sealed record ChangedSetting(long FromStep, string Setting, double Value, string? Word = null);

/// <summary><c>changes.jsonl</c>: what was changed of a run under way, a line each, so that whoever resumes or recomputes it knows.</summary>
public sealed class SettingsLedger : IDisposable
{
    private readonly string _path;
    private JsonLinesWriter? _lines;

    private SettingsLedger(string path) => _path = path;

    /// <summary>Goes on after a step: what was to hold for steps that will be taken anew is dropped.</summary>
    /// <exception cref="RunException">The file cannot be written, or is damaged before its last line.</exception>
    public static SettingsLedger Resume(string path, long step)
    {
        // A run that nothing is changed of has no such file.
        if (File.Exists(path)) JsonLinesWriter.Resume(path, line => line.GetProperty("from_step").GetInt64() <= step + 1).Dispose();
        return new SettingsLedger(path);
    }

    /// <summary>What holds of it for a state after a step; empty where there is no file.</summary>
    /// <exception cref="RunException">The file cannot be read or is damaged.</exception>
    public static IReadOnlyList<ChangedSetting> Read(string path, long throughStep = long.MaxValue - 1) => !File.Exists(path) ? [] :
    [
        .. JsonLinesReader.Read(path).Select(line => Of(line.Object)).Where(change => change.FromStep <= throughStep + 1),
    ];

    /// <summary>Writes a change.</summary>
    /// <exception cref="RunException">The line cannot be written.</exception>
    public void Write(ChangedSetting change)
    {
        _lines ??= JsonLinesWriter.Append(_path);
        _lines.Write(json =>
        {
            json.WriteNumber("from_step", change.FromStep);
            json.WriteString("setting", change.Setting);
            if (change.Word is { } word) json.WriteString("value", word);
            else json.WriteNumber("value", change.Value);
        });
    }

    /// <inheritdoc/>
    public void Dispose() => _lines?.Dispose();

    private static ChangedSetting Of(JsonElement line)
    {
        var (from, setting, value) = (line.GetProperty("from_step").GetInt64(), line.GetProperty("setting").GetString() ?? "", line.GetProperty("value"));
        return value.ValueKind == JsonValueKind.String ? new ChangedSetting(from, setting, double.NaN, value.GetString()) : new ChangedSetting(from, setting, value.GetDouble());
    }
}
