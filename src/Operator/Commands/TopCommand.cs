using System.Text.Json.Nodes;

namespace Pipeline.Operator;

/// <summary>What the live view shows, once.</summary>
internal static class TopCommand
{
    internal static OperatorCommand Command { get; } = new("top", "", "The run at a glance: progress, ranks, links, nodes.")
    {
        Detail = "At a prompt, and as `pipeline top`, it stays on the screen and follows the run until q.",
        Examples = [("top", "where does the time go?"), ("top --json", "the four lists together")],
        Run = LookAsync,
    };

    private static async Task<CommandAnswer> LookAsync(CommandRequest request)
    {
        // What the unsplit trainer computes has no ranks and no links.
        string[] parts = request.Run.IsLed ? ["status", "stages", "links", "nodes"] : ["status", "nodes"];
        List<string> text = [];
        JsonObject json = [];
        foreach (var part in parts)
        {
            var answer = await CommandCatalogue.Find(part)!.Run(request).ConfigureAwait(false);
            text.Add(answer.Text);
            json[part] = answer.Json;
        }

        return new CommandAnswer(true, string.Join("\n\n", text), json);
    }
}
