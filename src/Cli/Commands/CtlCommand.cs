using System.CommandLine;
using System.Text.Json.Nodes;
using Pipeline.Cli.Execution;
using Pipeline.Nodes;
using Pipeline.Operator;

namespace Pipeline.Cli.Commands;

/// <summary><c>pipeline ctl WORD</c>: one command of the operator's catalogue to a run that is under way.</summary>
internal static class CtlCommand
{
    public static Command Create(CommandContext context)
    {
        TaughtCommand command = new("ctl", "Commands a run that is under way: on this machine by its directory, elsewhere by address.")
        {
            Examples =
            [
                ("pipeline ctl status --run runs/2026-05-01-gpt-micro-001 --json", "for programs"),
                ("pipeline ctl stop --connect 127.0.0.1:4054 --yes", "the token comes from PIPELINE_TOKEN"),
                ("pipeline console --run runs/2026-05-01-gpt-micro-001", "the same commands, interactively"),
            ],
        };
        foreach (var word in CommandCatalogue.All.Where(word => word != CommandCatalogue.Find("help"))) command.Add(Word(context, word));
        return command;
    }

    private static TaughtCommand Word(CommandContext context, OperatorCommand word)
    {
        TaughtCommand command = new(word.Name, word.Summary + (word.Detail.Length > 0 ? " " + word.Detail : ""))
        {
            Examples = [.. word.Examples.Select(example => ($"pipeline ctl {example.Line} --run runs/2026-05-01-gpt-micro-001", example.Purpose))],
        };
        Argument<string[]>? arguments = word.ArgumentCount.Most == 0 ? null : new("arguments")
        {
            HelpName = word.Arguments.Split(" [--")[0], Arity = new(word.ArgumentCount.Least, word.ArgumentCount.Most),
            // The library converts a single word to no array by itself.
            CustomParser = result => [.. result.Tokens.Select(token => token.Value)],
            Description = "What the command is about.",
        };
        if (arguments is not null) command.Add(arguments);
        var flags = word.Flags.Select(flag => new Option<bool>(flag.Name) { Description = flag.Meaning }).ToArray();
        Option<bool> yes = new(CommandCatalogue.Consent) { Description = "Do it without asking; needed where there is no terminal." };
        foreach (var flag in word.Warning is null ? flags : [.. flags, yes]) command.Add(flag);
        var json = ConfigCommand.JsonOption();
        command.Add(json);
        var connect = RunConnection.AddTo(command, context);
        command.SetAction(async (parsed, _) =>
        {
            using var connection = connect(parsed);
            if (word.Name == "status") return await StatusAsync(context, connection, parsed.GetValue(json)).ConfigureAwait(false);
            var line = string.Join(' ', [word.Name, .. (arguments is null ? [] : parsed.GetValue(arguments) ?? []).Select(CommandWords.Quote), .. flags.Where(parsed.GetValue).Select(flag => flag.Name)]);
            var reply = await Consent.OperateAsync(context, connection, line, word.Warning is not null && parsed.GetValue(yes)).ConfigureAwait(false);
            return Print(context, reply, parsed.GetValue(json));
        });
        return command;
    }

    private static async Task<int> StatusAsync(CommandContext context, RunConnection connection, bool asJson)
    {
        var (refusal, status) = await connection.StatusAsync().ConfigureAwait(false);
        if (status is null) return Print(context, new ControlReply(false, refusal ?? ""), asJson);
        context.Output.WriteLine(asJson ? status.ToJsonString(JsonOutput.Options) : StatusText.Of(status));
        return ExitCode.Done;
    }

    private static int Print(CommandContext context, ControlReply reply, bool asJson)
    {
        if (!reply.Done)
        {
            context.Error.WriteLine(reply.Message);
            return ExitCode.Refused;
        }

        context.Output.WriteLine(asJson
            ? (reply.Json is { } json ? JsonNode.Parse(json)! : new JsonObject { ["done"] = true, ["message"] = reply.Message }).ToJsonString(JsonOutput.Options)
            : reply.Message);
        return ExitCode.Done;
    }
}
