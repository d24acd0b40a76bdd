using System.CommandLine;
using System.Text.Json;
using Pipeline.Cli.Configuration;
using Pipeline.Cli.Machine;

namespace Pipeline.Cli.Commands;

/// <summary><c>pipeline doctor</c>: every problem of this machine with its remedy.</summary>
internal static class DoctorCommand
{
    public static Command Create(CommandContext context)
    {
        TaughtCommand command = new("doctor", "Examines this machine: names every problem with its remedy, and measures what decides defaults.")
        {
            Examples =
            [
                ("pipeline doctor", "exit code 0 if nothing essential is missing, 3 if something is"),
                ("pipeline doctor --json", "the same for programs"),
            ],
        };
        ConfigurationOptions options = new(command);
        var json = ConfigCommand.JsonOption();
        command.Add(json);
        command.SetAction(parsed =>
        {
            var settings = RunSettingsBinder.Resolve(options.Collect(parsed, context)).Settings;
            var findings = MachineExamination.Of(settings, context);
            context.Output.Write(parsed.GetValue(json) ? AsJson(findings) : AsText(findings));
            return findings.Any(finding => finding.Level == FindingLevel.Lacking) ? ExitCode.MachineLacks : ExitCode.Done;
        });
        return command;
    }

    private static string AsText(IReadOnlyList<Finding> findings)
    {
        var width = findings.Max(finding => finding.Subject.Length);
        var lines = findings.Select(finding => $"{Mark(finding.Level)} {finding.Subject.PadRight(width)}  {finding.Found}"
            + (finding.Remedy is null ? "" : $"\n       {"".PadRight(width)} → {finding.Remedy}"));
        var lacking = findings.Count(finding => finding.Level == FindingLevel.Lacking);
        var closing = lacking == 0 ? "Nothing essential is missing." : $"{lacking} essential {(lacking == 1 ? "thing is" : "things are")} missing; the arrows name the remedies.";
        return string.Join("\n", lines) + "\n" + closing + "\n";
    }

    private static string AsJson(IReadOnlyList<Finding> findings) => JsonSerializer.Serialize(
        new
        {
            fit = findings.All(finding => finding.Level != FindingLevel.Lacking),
            findings = findings.Select(finding => new
            {
                subject = finding.Subject, level = finding.Level.ToString().ToLowerInvariant(), found = finding.Found, remedy = finding.Remedy,
            }),
        },
        JsonOutput.Options) + "\n";

    private static string Mark(FindingLevel level) => level switch
    {
        FindingLevel.Fine => "  ok  ",
        FindingLevel.Notice => " note ",
        _ => " LACKS",
    };
}
