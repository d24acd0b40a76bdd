using System.CommandLine;
using System.CommandLine.Help;
using Pipeline.Cli.Execution;

namespace Pipeline.Cli.Commands;

/// <summary>The words that the executable knows. A word is registered when what it does exists, and is absent until then.</summary>
public static class CommandTree
{
    /// <summary>Whether errors carry their stack.</summary>
    public static readonly Option<bool> Verbose = new("--verbose") { Description = "Say more, and show where an error happened.", Recursive = true };

    /// <summary>Builds the tree.</summary>
    public static RootCommand Create(CommandContext context) => Create(
    [
        TrainCommand.Create(context, new TrainRunner(context).RunAsync),
        NodeCommand.Create(context),
        CtlCommand.Create(context),
        ConsoleCommand.Create(context),
        TopCommand.Create(context),
        CertsCommand.Create(context),
        GenerateCommand.Create(context),
        VerifyCommand.Create(context),
        BisectCommand.Create(context),
        DataCommand.Create(context),
        ScheduleCommand.Create(context),
        ProfileCommand.Create(context),
        PlanCommand.Create(context),
        SimulateCommand.Create(context),
        CheckpointCommand.Create(context),
        ConfigCommand.Create(context),
        DoctorCommand.Create(context),
    ]);

    /// <summary>Builds a tree of given words.</summary>
    internal static RootCommand Create(IEnumerable<Command> words)
    {
        RootCommand root = new("Trains language models on a pipeline of actors, over threads and processes.");
        foreach (var word in words) root.Add(word);
        root.Add(Verbose);
        foreach (var help in root.Options.OfType<HelpOption>()) help.Action = new TeachingHelp((HelpAction)help.Action!);
        return root;
    }
}
