using System.CommandLine;
using System.Text.RegularExpressions;
using Pipeline.Protocol.Security;

namespace Pipeline.Cli.Commands;

/// <summary><c>pipeline certs init|issue</c>: the run's own authority, and certificates that let processes in.</summary>
internal static partial class CertsCommand
{
    private const int AuthorityDays = 825;
    private const int CertificateDays = 90;
    private const int MostDays = 3650;

    public static Command Create(CommandContext context) => new TaughtCommand(
        "certs", "Makes a run's own certificate authority, and certificates by which its processes know each other (security.tls = on).")
    {
        Subcommands = { Initialise(context), Issue(context) },
    };

    private static Command Initialise(CommandContext context)
    {
        TaughtCommand command = new("init", "Makes an authority: ca.crt, which every process needs, and ca.key, which stays here: whoever has it can let anyone in.")
        {
            Examples =
            [
                ("pipeline certs init", "an authority in certs/, valid for 825 days"),
                ("pipeline certs init --dir /secure/run-7 --name run-7 --days 30", "one for a single run"),
            ],
        };
        var folder = Folder(command);
        Option<string> name = new("--name") { HelpName = "NAME", Description = "Name of the run or cluster, as it stands in every certificate. Default: pipeline.", DefaultValueFactory = _ => "pipeline" };
        var days = Days(command, AuthorityDays);
        command.Add(name);
        command.SetAction(parsed =>
        {
            CertificateFolder certificates = new(parsed.GetValue(folder)!, context.Time);
            certificates.Initialise(Named(parsed.GetValue(name)!), Validity(parsed.GetValue(days)));
            context.Output.WriteLine($"Made {certificates.Authority} (copy it to every machine) and its key (leave it here).");
            context.Output.WriteLine($"Next: pipeline certs issue --dir {parsed.GetValue(folder)} --name node-1 --role coordinator --role stage --host HOST");
            return ExitCode.Done;
        });
        return command;
    }

    private static Command Issue(CommandContext context)
    {
        TaughtCommand command = new("issue", "Issues a certificate with a key of its own: NAME.crt and NAME.key. What it may be and where it speaks from stands in it.")
        {
            Examples =
            [
                ("pipeline certs issue --name node-1 --role coordinator --role stage --host node-1.example.org --host 10.0.0.1", "a node that may lead and may hold stages"),
                ("pipeline certs issue --name node-2 --role stage --host 10.0.0.2", "a node that holds stages and cannot command others"),
                ("pipeline certs issue --name alice --role operator --days 7", "for `pipeline ctl` and `pipeline train --cluster`"),
                ("pipeline certs issue --name pipeline --role coordinator --role stage --host '*.pipeline'", "one for all pods of a Kubernetes StatefulSet"),
            ],
        };
        var folder = Folder(command);
        Option<string> name = new("--name") { HelpName = "NAME", Description = "Name of the process; also of the files.", Required = true };
        Option<string[]> role = new("--role") { HelpName = "ROLE", Description = $"What it may be. Repeatable. Expected: one of {string.Join(", ", PeerRoleNames.Words)}.", Required = true };
        Option<string[]> host = new("--host") { HelpName = "HOST", Description = "Host name or address that others dial (cluster.host); *.domain for all names of a domain. Repeatable. Nodes need at least one." };
        command.Add(name);
        command.Add(role);
        command.Add(host);
        var days = Days(command, CertificateDays);
        command.SetAction(parsed =>
        {
            var roles = Roles(parsed.GetValue(role)!);
            var hosts = Hosts(parsed.GetValue(host) ?? [], roles);
            CertificateFolder certificates = new(parsed.GetValue(folder)!, context.Time);
            var order = new CertificateOrder(Named(parsed.GetValue(name)!), roles, hosts, Validity(parsed.GetValue(days)));
            var issued = certificates.Issue(order);
            context.Output.WriteLine($"Issued {certificates.Certificate(order.Name)} and its key for {issued}, valid until {issued.ExpiresAt:yyyy-MM-dd}.");
            context.Output.WriteLine($"On its machine: security {{ tls = on, ca = ca.crt, certificate = {order.Name}.crt, key = {order.Name}.key }}, each with its path.");
            context.Output.WriteLine($"To shut it out later: add {issued.SerialNumber} to the file that security.revoked names on the others.");
            return ExitCode.Done;
        });
        return command;
    }

    private static Option<string> Folder(TaughtCommand command)
    {
        Option<string> option = new("--dir") { HelpName = "DIR", Description = "Folder of the authority and of what it issues. Default: certs.", DefaultValueFactory = _ => "certs" };
        command.Add(option);
        return option;
    }

    private static Option<int> Days(TaughtCommand command, int standard)
    {
        Option<int> option = new("--days") { HelpName = "N", Description = $"Days of validity. Default: {standard}.", DefaultValueFactory = _ => standard };
        command.Add(option);
        return option;
    }

    private static TimeSpan Validity(int days) =>
        days is >= 1 and <= MostDays ? TimeSpan.FromDays(days) : throw new UsageException($"--days {days}: expected a whole number from 1 to {MostDays}.");

    private static string Named(string name) =>
        NamePattern().IsMatch(name) ? name : throw new UsageException($"--name {SafeText.Of(name)}: expected letters, digits, dots, hyphens or underscores, a letter or digit first, at most 63.");

    private static PeerRoles Roles(IEnumerable<string> words)
    {
        var roles = PeerRoles.None;
        foreach (var word in words)
        {
            var role = PeerRoleNames.Role(word);
            if (role == PeerRoles.None) throw new UsageException($"--role {SafeText.Of(word)}: expected one of {string.Join(", ", PeerRoleNames.Words)}.");
            roles |= role;
        }

        return roles;
    }

    private static string[] Hosts(string[] hosts, PeerRoles roles)
    {
        if (hosts.Length == 0 && (roles & ~PeerRoles.Operator) != PeerRoles.None)
            throw new UsageException($"A certificate for a {PeerRoleNames.Phrase(roles, "and")} needs --host: others refuse a node that speaks from a host that its certificate does not name.");
        foreach (var host in hosts)
        {
            var bare = host.StartsWith("*.", StringComparison.Ordinal) ? host[2..] : host;
            if (Uri.CheckHostName(bare) is UriHostNameType.Unknown || host == "0.0.0.0")
                throw new UsageException($"--host {SafeText.Of(host)}: expected a host name such as node-1.example.org or *.example.org, or an address such as 10.0.0.1; no port, no scheme.");
        }

        return hosts;
    }

    [GeneratedRegex("^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
    private static partial Regex NamePattern();
}
