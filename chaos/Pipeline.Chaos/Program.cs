using System.CommandLine;
using Pipeline.Chaos;

Option<int> count = new("--count") { Description = "How many faults, or recoveries to measure.", DefaultValueFactory = _ => 300 };
Option<int> seed = new("--seed") { Description = "The same seed gives the same faults.", DefaultValueFactory = _ => 1 };
Option<string[]> settings = new("--set")
{
    Description = "KEY=VALUE of the runs and of their reference, such as parallelism.data=2: the runs have two stages then.", DefaultValueFactory = _ => [],
};
Option<int> processes = new("--processes") { Description = "Processes of each run, the leader's and spares included.", DefaultValueFactory = _ => 4 };
Option<Fault[]> faults = new("--fault")
{
    Description = "The only faults that are drawn, such as FreezeMinute; all if none is named.", DefaultValueFactory = _ => [], AllowMultipleArgumentsPerToken = true,
};
Option<double> minutes = new("--minutes") { Description = "How long to soak.", DefaultValueFactory = _ => 10 };

RootCommand root = new("Real processes on this machine to which things are done. Without a word: seeded random faults over many runs; killed nodes are started anew.") { count, seed, processes, faults, settings };
Command recovery = new("recovery", "Measures, on the preset gpt-nano with spares, the time from kill -9 of a stage to the next committed step in its parts, and how long the run is without a leader after that of the leader. With --set parallelism.data=2 of one of two replicas of one stage; with --processes 2 and numerics.summation=invariant without a spare, so that the other one goes on alone until a node joins.") { count, processes, settings };
Command soak = new("soak", "Four processes at full load: no losses, memory flat.") { minutes };
Command cuts = new("cuts", "Seeded random cuts of the network between nodes that each lie in a network namespace of their own. Needs root and iproute2.") { count, seed };
root.Add(cuts);
cuts.SetAction((parsed, _) => WithTiny(tiny => new CutCampaign(tiny, parsed.GetValue(seed), Console.Out).RunAsync(parsed.GetValue(count))));
root.Add(recovery);
root.Add(soak);
root.SetAction((parsed, _) => WithTiny(tiny => new FaultCampaign(tiny, parsed.GetValue(seed), parsed.GetValue(processes), Console.Out, parsed.GetValue(faults) ?? [], [.. (parsed.GetValue(settings) ?? []).SelectMany(setting => new[] { "--set", setting })]).RunAsync(parsed.GetValue(count))));
recovery.SetAction((parsed, _) => WithTiny(tiny => new RecoveryMeasure(tiny, Console.Out, parsed.GetValue(processes), parsed.GetValue(settings) ?? []).RunAsync(parsed.GetValue(count))));
soak.SetAction((parsed, _) => WithTiny(tiny => new Soak(tiny, Console.Out).RunAsync(parsed.GetValue(minutes))));
return await root.Parse(args).InvokeAsync();

static async Task<int> WithTiny(Func<TinyTraining, Task<bool>> run)
{
    using TinyTraining tiny = new();
    return await run(tiny) ? 0 : 1;
}
