using Pipeline.Cli.Configuration;
using Pipeline.Cli.Planning;
using Pipeline.Schedules;
using Xunit;

namespace Pipeline.Tests.Cli;

/// <summary>Profiles are files of others: they are found where they belong, and nothing is made of what cannot be one.</summary>
public sealed class ProfileStoreTests
{
    private static readonly RunSettings s_settings = Settings();

    [Fact]
    public void A_profile_that_may_not_be_changed_is_shared_so_that_a_resumed_run_can_share_another()
    {
        using TemporaryFolder folder = new();
        var path = ProfileStore.Write(s_settings, Path.Combine(folder.Path, "named.json"), Measured());
        if (!OperatingSystem.IsWindows()) File.SetUnixFileMode(path, UnixFileMode.UserRead);
        var settings = s_settings with { Profile = path };
        var shared = Path.Combine(folder.Path, "profile.json");
        ProfileStore.Share(settings, shared);
        if (!OperatingSystem.IsWindows()) Assert.True(File.GetUnixFileMode(shared).HasFlag(UnixFileMode.UserWrite));
        // Again, also over one that somebody has protected meanwhile.
        if (!OperatingSystem.IsWindows()) File.SetUnixFileMode(shared, UnixFileMode.UserRead);
        ProfileStore.Share(settings, shared);
        Assert.Equal(7, ProfileStore.ReadOrEstimate(shared, s_settings).For(1)[0].Forward);
        // The one that is shared may be the one that is named.
        ProfileStore.Share(s_settings with { Profile = shared }, shared);
        Assert.Equal(7, ProfileStore.ReadOrEstimate(shared, s_settings).For(1)[0].Forward);
        ProfileStore.Share(settings, shared, ProfileStore.Find(settings)!.At(0.5));
        Assert.Equal(14, ProfileStore.ReadOrEstimate(shared, s_settings).For(1)[0].Forward);
        ProfileStore.Share(s_settings with { Data = s_settings.Data with { CacheFolder = folder.Path } }, shared);
        Assert.False(File.Exists(shared));
    }

    [Fact]
    public void The_state_of_units_is_that_of_the_run_which_reads_a_profile_and_not_of_the_one_that_was_measured()
    {
        using TemporaryFolder folder = new();
        var path = ProfileStore.Write(s_settings, Path.Combine(folder.Path, "named.json"), Measured());
        var alone = s_settings with { Profile = path };
        var shared = alone with { Step = alone.Step with { ReplicaCount = 4, OptimizerShardCount = 4, GradientShardCount = 4 } };
        var (whole, part) = (ProfileStore.Find(alone)!.For(1), ProfileStore.Find(shared)!.For(1));
        // In fp32 16 bytes a parameter, of which the weight is everybody's: 4 + 12 ÷ 4.
        Assert.All(whole.Zip(part), pair => Assert.Equal(pair.First.StateBytes * 7.0 / 16, pair.Second.StateBytes, 1.0));
        Assert.All(whole.Zip(part), pair => Assert.Equal(pair.First.Forward, pair.Second.Forward));
    }

    [Fact]
    public void A_node_s_profile_is_its_own_and_the_machine_s_is_taken_where_nobody_measured_the_node()
    {
        using TemporaryFolder folder = new();
        var settings = s_settings with { Data = s_settings.Data with { CacheFolder = folder.Path } };
        var here = Environment.MachineName;
        ProfileStore.Write(settings, null, Measured() with { Machine = here });
        ProfileStore.Write(settings, null, Measured() with { Machine = here, Node = "left" });
        ProfileStore.Write(settings, null, Measured() with { Machine = "elsewhere", Node = "left" });
        Assert.Equal([(here, "left"), (here, ""), ("elsewhere", "left")],
            new[] { (here, "left"), (here, "right"), ("elsewhere", "left") }.Select(node => ProfileStore.OfNode(settings, node.Item1, node.Item2)!).Select(found => (found.Machine, found.Node)));
        Assert.Null(ProfileStore.OfNode(settings, "elsewhere", "right"));
        // A file that is named counts before what lies in the cache.
        var named = ProfileStore.Write(settings, Path.Combine(folder.Path, "named.json"), Measured() with { Machine = "elsewhere", GigaFlops = 3 });
        Assert.Equal(3, ProfileStore.OfNode(settings with { Profile = named }, "elsewhere", "left")!.GigaFlops);
    }

    [Theory]
    [InlineData("of another model", "name")]
    [InlineData("measured in bf16", "precision")]
    [InlineData("no machine has", "negative")]
    [InlineData("no machine has", "endless")]
    [InlineData("no machine has", "idle")]
    [InlineData("no machine has", "bytes")]
    [InlineData("no machine has", "size")]
    [InlineData("no machine has", "overhead")]
    [InlineData("of another model", "empty")]
    public void What_cannot_be_a_profile_of_the_run_is_refused_with_the_reason(string reason, string what)
    {
        using TemporaryFolder folder = new();
        var file = Measured();
        var first = file.Sizes[1][0];
        switch (what)
        {
            case "name": file.Sizes[1][0] = first with { Name = "somebody" }; break;
            case "precision": file = file with { Precision = "bf16" }; break;
            case "negative": file.Sizes[1][0] = first with { Backward = -1e-9 }; break;
            case "endless": file.Sizes[1][0] = first with { Optimizer = 1e300 }; break;
            case "idle": file.Sizes[1] = [.. file.Sizes[1].Select(unit => unit with { Forward = 0 })]; break;
            case "bytes": file.Sizes[1][0] = first with { KeptBytes = long.MaxValue }; break;
            case "size": file.Sizes[0] = file.Sizes[1]; break;
            case "overhead": file = file with { ActionOverhead = -1 }; break;
            default: file.Sizes.Clear(); break;
        }

        var path = ProfileStore.Write(s_settings, Path.Combine(folder.Path, "odd.json"), file);
        Assert.Contains(reason, Assert.Throws<ScheduleException>(() => ProfileStore.Find(s_settings with { Profile = path })).Message, StringComparison.Ordinal);
        Assert.False(ProfileStore.ReadOrEstimate(path, s_settings).IsMeasured);
    }

    internal static RunSettings Settings(params string[] assignments) => RunSettingsBinder.Settle(
        RunSettingsBinder.Resolve(ConfigurationSources.None with { Assignments = ConfigurationLayer.FromAssignments([.. assignments]) }), () => false).Settings;

    internal static ProfileFile Measured() => new(
        "machine", DateTimeOffset.UnixEpoch, "fp32", 0, 0, new() { [1] = [.. UnitEstimates.Of(s_settings, 1e10).BySize[1].Select((unit, index) => index == 0 ? unit with { Forward = 7 } : unit)] });
}
