using System.Globalization;
using System.Text.Json.Nodes;
using Pipeline.Protocol.Security;

namespace Pipeline.Operator;

/// <summary>The status as people read it, made from <see cref="StatusJson"/> so that both say the same.</summary>
public static class StatusText
{
    private const double BytesPerMebibyte = 1 << 20;

    /// <summary>A line a fact.</summary>
    public static string Of(JsonObject status)
    {
        List<string> lines =
        [
            $"run         {SafeText.Of(Text(status, "run"))}",
            $"phase       {SafeText.Of(Text(status, "phase"))}",
            $"generation  {Number(status, "generation"):0}",
            $"step        {Number(status, "step"):0}{(Number(status, "end_step") is > 0 and var end ? $" of {end:0}" : "")}{Eta(status)}",
        ];
        if (status["loss"] is not null) lines.Add(Invariant($"loss        {Number(status, "loss"):F4}{(status["val_loss"] is null ? "" : Invariant($", validation {Number(status, "val_loss"):F4}"))}"));
        if (status["tokens_per_second"] is not null) lines.Add(Invariant($"speed       {Number(status, "tokens_per_second"):N0} tokens/s, {Number(status, "step_seconds"):F3} s a step, bubble {Number(status, "bubble"):P1}"));
        if (status["exchanged_bytes"] is not null)
            lines.Add(Invariant($"replicas    each rank sends {Number(status, "exchanged_bytes") / BytesPerMebibyte:F2} MiB a step to others and waits {Number(status, "exposed"):P1} of the step for theirs"));
        // A cluster that has no run yet says nothing of it.
        if (status["health"] is JsonArray health)
        {
            if (health.Count == 0) lines.Add("health      well");
            lines.AddRange(health.Select(sentence => $"health      {SafeText.Of(sentence!.GetValue<string>(), 300)}"));
        }

        foreach (var node in status["nodes"]!.AsArray().Select(node => node!.AsObject()))
        {
            var name = Text(node, "name");
            var ranks = status["stages"]!.AsArray().Where(stage => Text(stage!.AsObject(), "node") == name).Select(stage => $"{Number(stage!.AsObject(), "rank"):0}").ToArray();
            var duty = (node["coordinates"]!.GetValue<bool>() ? "leads, " : "") + (ranks.Length > 0 ? "stages " + string.Join(", ", ranks) : "spare");
            lines.Add($"node        {SafeText.Of(name)}  pid {Number(node, "pid"):0} on {SafeText.Of(Text(node, "host"))}  {string.Join("+", node["roles"]!.AsArray().Select(role => SafeText.Of(role!.GetValue<string>())))}  {duty}");
        }

        return string.Join('\n', lines);
    }

    private static string Eta(JsonObject status) =>
        status["eta_seconds"] is null ? "" : $", {TimeSpan.FromSeconds(Math.Round(Number(status, "eta_seconds"))):c} left";

    private static string Text(JsonObject json, string name) => json[name]?.GetValue<string>() ?? "";

    private static double Number(JsonObject json, string name) => json[name] is { } node && double.TryParse(node.ToJsonString(), CultureInfo.InvariantCulture, out var number) ? number : 0;

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
