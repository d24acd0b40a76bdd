using System.Text.Json.Nodes;
using Pipeline.Coordinator;
using Pipeline.Protocol.Security;
using Pipeline.Runs;

namespace Pipeline.Operator;

/// <summary>What <c>status --json</c> prints: a stable shape, held by a test. Names in snake case; numbers that are not finite are null.</summary>
public static class StatusJson
{
    private const int PaceSteps = 20;
    private const int LongestSentence = 300;

    /// <summary>The status of a run.</summary>
    /// <param name="files">Its directory.</param>
    /// <param name="status">What its coordinator says; null for the unsplit trainer.</param>
    /// <param name="nodes">Who is there.</param>
    /// <param name="watch">What has been seen of it.</param>
    public static JsonObject Of(RunFiles files, RunStatus? status, IReadOnlyList<OperatedNode> nodes, RunWatch watch)
    {
        var last = watch.Last;
        var step = status?.Step ?? last?.Step ?? 0;
        var recent = watch.Recent(PaceSteps);
        var seconds = recent.Count > 0 ? recent.Average(one => one.Seconds) : 0;
        var exchange = ReplicaExchange.Of(recent);
        var phase = watch.Outcome is not null ? "ended" : status?.Phase ?? "running";
        return new JsonObject
        {
            ["nodes"] = new JsonArray([.. nodes.Select(node => (JsonNode)new JsonObject
            {
                ["name"] = node.Line.Name, ["pid"] = node.Line.ProcessId, ["roles"] = new JsonArray([.. node.Line.Roles.Select(role => (JsonNode)role)]),
                ["address"] = node.Line.Address, ["host"] = node.Line.Host, ["coordinates"] = node.Line.Leads,
            })]),
            ["stages"] = new JsonArray([.. (status?.Stages ?? []).Select(stage => (JsonNode)new JsonObject
            {
                ["rank"] = stage.Rank, ["node"] = StandingCommands.NameOf(nodes, stage.Node), ["holder"] = stage.Holder is { } holder ? StandingCommands.NameOf(nodes, holder) : "",
                ["units"] = stage.UnitCount, ["step"] = stage.Step,
            })]),
            ["generation"] = status?.Generation.Number ?? 1,
            ["step"] = step,
            ["phase"] = phase,
            ["run"] = files.Folder,
            ["protected_step"] = status?.ProtectedStep ?? 0,
            ["end_step"] = status?.EndStep ?? 0,
            ["loss"] = Finite(last?.Loss),
            ["val_loss"] = Finite(watch.Evaluations is [.., var evaluated] ? evaluated.ValidationLoss : null),
            ["lr"] = Finite(last?.LearningRate),
            ["bubble"] = recent.Count > 0 ? Finite(recent.Average(one => one.Bubble)) : null,
            ["exposed"] = Finite(exchange?.Share),
            ["exchanged_bytes"] = Finite(exchange?.Bytes),
            ["step_seconds"] = recent.Count > 0 ? Finite(seconds) : null,
            ["tokens_per_second"] = seconds > 0 ? Finite(recent.Average(one => one.TokenCount) / seconds) : null,
            ["eta_seconds"] = seconds > 0 && status is { EndStep: > 0 } ? Finite(Math.Max(0, status.EndStep - step) * seconds) : null,
            ["health"] = new JsonArray([.. RunHealth.Of(phase, watch).Select(sentence => (JsonNode)SafeText.Of(sentence, LongestSentence))]),
        };
    }

    /// <summary>A number, or null where it is none.</summary>
    public static JsonNode? Finite(double? value) => value is { } number && double.IsFinite(number) ? JsonValue.Create(number) : null;
}
