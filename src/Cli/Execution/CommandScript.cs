using System.Text.Json.Nodes;
using Pipeline.Nodes;
using Pipeline.Operator;

namespace Pipeline.Cli.Execution;

/// <summary>Commands one after the other without anybody to ask: the first that is refused ends the script.</summary>
internal sealed class CommandScript(CommandContext context, RunConnection connection)
{
    /// <summary>Carries them out.</summary>
    /// <returns>The exit code.</returns>
    public async Task<int> RunAsync(IReadOnlyList<string> lines)
    {
        foreach (var line in lines)
        {
            var reply = await connection.OperateAsync(line).ConfigureAwait(false);
            if (!reply.Done)
            {
                var remedy = reply.NeedsConsent ? $" There is no terminal to ask at: add {CommandCatalogue.Consent} to have it done." : "";
                await context.Error.WriteLineAsync($"{line}: {reply.Message}{remedy}").ConfigureAwait(false);
                return ExitCode.Refused;
            }

            context.Output.WriteLine(Shown(line, reply));
        }

        return ExitCode.Done;
    }

    /// <summary>The answer as the line asks for it.</summary>
    internal static string Shown(string line, ControlReply reply) => !CommandWords.Parse(line).Flags.Contains(CommandCatalogue.AsJson) ? reply.Message
        : reply.Json is { } json ? JsonNode.Parse(json)!.ToJsonString(JsonOutput.Options) : new JsonObject { ["done"] = true, ["message"] = reply.Message }.ToJsonString(JsonOutput.Options);
}
