using Pipeline.Nodes;
using Pipeline.Operator;

namespace Pipeline.Cli.Execution;

/// <summary>Carries a command out, asking whoever sits at the terminal where it could do harm. Without a terminal it is refused.</summary>
internal static class Consent
{
    /// <summary>Carries out a line.</summary>
    /// <param name="context">Where to ask.</param>
    /// <param name="connection">The run.</param>
    /// <param name="line">The command.</param>
    /// <param name="isGiven">Whether somebody has agreed beforehand.</param>
    /// <param name="ask">Asks; null to ask on the console.</param>
    internal static async Task<ControlReply> OperateAsync(CommandContext context, RunConnection connection, string line, bool isGiven, Func<string, bool>? ask = null)
    {
        var agreed = $"{line} {CommandCatalogue.Consent}";
        var reply = await connection.OperateAsync(isGiven ? agreed : line).ConfigureAwait(false);
        if (!reply.NeedsConsent) return reply;
        if (ask is null && (!context.IsTerminal || Console.IsInputRedirected))
            return reply with { Message = $"{reply.Message} There is no terminal to ask at: add {CommandCatalogue.Consent} to have it done." };
        return (ask ?? Ask)(reply.Message) ? await connection.OperateAsync(agreed).ConfigureAwait(false) : new ControlReply(false, "Nothing was done.");

        bool Ask(string warning)
        {
            context.Output.Write($"{warning} Go on (y/n)? ");
            return Console.ReadLine()?.Trim() is "y" or "yes";
        }
    }
}
