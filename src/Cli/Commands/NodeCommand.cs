using System.CommandLine;
using System.Runtime.InteropServices;
using Pipeline.Cli.Configuration;
using Pipeline.Cli.Execution;
using Pipeline.Cli.Machine;
using Pipeline.Model.Numerics;
using Pipeline.Nodes;

namespace Pipeline.Cli.Commands;

/// <summary><c>pipeline node</c>: this process becomes a member of a cluster, until it is told to leave.</summary>
internal static class NodeCommand
{
    public static Command Create(CommandContext context)
    {
        TaughtCommand command = new("node", "Joins a cluster and hosts stages, or leads its run, until SIGTERM: then it hands over, leaves and ends with 0.")
        {
            OwnsSignals = true,
            Examples =
            [
                ("pipeline node -c hocon/cluster.conf", "joins through the seed nodes that the file names"),
                ("pipeline node --set cluster.port=4055 --set cluster.control-port=4056", "a second node on this machine"),
                ("pipeline node -c hocon/cluster.conf --set cluster.roles=[stage]", "holds stages, never leads"),
            ],
        };
        ConfigurationOptions options = new(command);
        options.AddFlag(command, "--name", "NAME", ClusterKeys.NodeName, "Name of this node.");
        Option<string> endpoint = new("--endpoint") { HelpName = "FILE", Description = "Where to write the address at which this node takes commands, once it has joined." };
        Option<bool> bound = new("--until-stdin-closes") { Description = "End when standard input does: a node that was started by a program goes with it. SIGINT is left to that program." };
        command.Add(endpoint);
        command.Add(bound);
        command.SetAction(async (parsed, _) =>
        {
            TorchRuntime.Initialize();
            var settings = RunSettingsBinder.Resolve(options.Collect(parsed, context)).Settings;
            var node = settings.Cluster.Node with
            {
                EndpointPath = parsed.GetValue(endpoint),
                Speed = PrecisionProbe.Measure(settings.Data.CacheFolder).Fp32GigaFlops,
                TensorLibrary = TorchChecks.Version,
                LogFormat = settings.Telemetry.Format,
            };
            return await RunAsync(context, node, parsed.GetValue(bound)).ConfigureAwait(false);
        });
        return command;
    }

    private static async Task<int> RunAsync(CommandContext context, NodeSettings settings, bool isBound)
    {
        using var drain = new CancellationTokenSource();
        using var terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, signal => Ask(signal, drain));
        using var interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, signal => Ask(signal, isBound ? null : drain));
        var orphaned = isBound ? Task.Run(static () => Console.OpenStandardInput().CopyTo(Stream.Null)) : new TaskCompletionSource().Task;
        using ConfiguredRuns runs = new(context, settings.Name);
        var end = await NodeProcess.RunAsync(settings, runs, context.Time, context.Output, orphaned, drain.Token).ConfigureAwait(false);
        await (end.IsOrderly ? context.Output : context.Error).WriteLineAsync(end.Sentence).ConfigureAwait(false);
        return end.IsOrderly ? ExitCode.Done : end.IsRefusal ? ExitCode.Refused : ExitCode.Failed;
    }

    private static void Ask(PosixSignalContext signal, CancellationTokenSource? drain)
    {
        signal.Cancel = true;
        drain?.Cancel();
    }
}
