using Pipeline.Cli.Configuration;
using Pipeline.Cli.Planning;
using Xunit;

namespace Pipeline.Tests.Cli;

public sealed class PlannedReductionsTests
{
    private const long GradientBytes = 1 << 28;

    [Fact]
    public void Replicas_in_one_process_are_reckoned_by_their_topology_and_with_the_work_of_compression()
    {
        Assert.Null(PlannedReductions.Here(Settings()));
        var sharded = Cost("parallelism.data=4");
        // A reducer takes four gradients in and gives four out; of shards each replica sends three quarters, both ways.
        Assert.Equal(4 / 0.75, Cost("parallelism.data=4", "reduction.topology=coordinator") / sharded, 6);
        // A quarter of the bytes travels, whatever else has to be done for it.
        Assert.True(Cost("parallelism.data=4", "compression.kind=int8", "compression.answer=int8") > sharded / 3.9);
        Assert.Equal(sharded, Cost("parallelism.data=4", "parallelism.optimizer=4"), 12);
    }

    private static double Cost(params string[] assignments) => PlannedReductions.Here(Settings(assignments))!([GradientBytes]).Cost(0, 0);

    private static RunSettings Settings(params string[] assignments) =>
        RunSettingsBinder.Resolve(ConfigurationSources.None with { Assignments = ConfigurationLayer.FromAssignments(assignments) }).Settings;
}
