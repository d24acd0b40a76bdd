using System.Globalization;
using Pipeline.Cli.Execution;
using Pipeline.Schedules;

namespace Pipeline.Cli.Planning;

/// <summary>What the nodes of a cluster have measured, as a table.</summary>
internal static class NodeTableText
{
    /// <summary>A line for each node: what all units take, and how fast it is beside the first that was measured.</summary>
    /// <param name="output">Where to.</param>
    /// <param name="results">The nodes.</param>
    /// <param name="microBatchSize">Samples of a micro-batch for which the figures are.</param>
    public static void Print(TextWriter output, IReadOnlyList<ProfiledNodeResult> results, int microBatchSize)
    {
        ModelProfile? first = null;
        output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"all units, micro-batches of {microBatchSize}; milliseconds"));
        output.WriteLine("  node                 machine              ranks  forward  backward     I        W    optimizer   speed");
        foreach (var result in results)
        {
            if (result.Profile is not { } file)
            {
                output.WriteLine($"  {result.Node.Name,-20} {result.Node.Host,-20} not measured. {result.Fault}");
                continue;
            }

            var profile = StoredProfile.Of(file).Profile;
            first ??= profile;
            var units = profile.For(microBatchSize);
            output.WriteLine(string.Create(CultureInfo.InvariantCulture,
                $"  {result.Node.Name,-20} {result.Node.Host,-20} {result.RankCount,5} {Sum(unit => unit.Forward),8:0.000} {Sum(unit => unit.Backward),9:0.000} {Sum(unit => unit.InputGradient),8:0.000} {Sum(unit => unit.WeightGradient),8:0.000} {Sum(unit => unit.Optimizer),9:0.000} {profile.SpeedBeside(first, microBatchSize),7:0.00}"));

            double Sum(Func<UnitProfile, double> time) => units.Sum(time) * 1e3;
        }
    }
}
