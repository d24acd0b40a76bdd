using Pipeline.Coordinator;
using Pipeline.Protocol;
using Pipeline.Runs;
using Pipeline.Tests.Runs;
using Xunit;
using CommandLineRun = Pipeline.Tests.Cli.CommandLineRun;

namespace Pipeline.Tests.Coordinator;

/// <summary>What is read out of a dump, and dumps as files.</summary>
public sealed class FlightDumpTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Waits_lead_to_the_rank_that_does_not_wait()
    {
        var lines = WaitGraph.Describe(Dump(4, Waiting(0, 1), Waiting(1, 3), Waiting(2, 3), new RankFlight(3, 6, "computes 3F0 of step 7", -1, [])));
        Assert.Equal("rank 0, step 6 completed, waits for something, from rank 1", lines[0]);
        Assert.Equal("In the end rank 3 is waited for, which computes 3F0 of step 7.", Assert.Single(lines.Skip(4)));
    }

    [Fact]
    public void A_circle_is_named_once_and_a_silent_rank_as_such()
    {
        Assert.Equal(["Ranks wait for each other in a circle: 0 -> 2 -> 1 -> 0."], WaitGraph.Describe(Dump(3, Waiting(0, 2), Waiting(1, 0), Waiting(2, 1))).Skip(3));
        var lines = WaitGraph.Describe(Dump(2, Waiting(0, 1)));
        Assert.Equal("rank 1 did not answer", lines[1]);
        Assert.StartsWith("In the end rank 1 is waited for, which did not answer", lines[2], StringComparison.Ordinal);
    }

    [Fact]
    public void A_dump_outlives_the_disk_and_the_newest_are_kept()
    {
        RunFiles files = new(_folder.Folder);
        var dump = Dump(2, new RankFlight(0, 6, "waits for x", 1, [new FlightEntry(120, FlightKind.Sent, "the activation", 1)]));
        var path = "";
        for (var index = 0; index < FlightFile.KeptCount + 3; index++) path = FlightFile.Write(files, dump);
        Assert.Equal(FlightFile.KeptCount, Directory.GetFiles(files.Dumps).Length);
        var read = FlightFile.Read(path);
        Assert.Equal((dump.Reason, dump.Step, dump.Generation, dump.RankCount), (read.Reason, read.Step, read.Generation, read.RankCount));
        Assert.Equal(dump.Ranks[0].Entries, read.Ranks[0].Entries);
        var shown = CommandLineRun.Of("dump", "show", path);
        Assert.Equal(0, shown.Code);
        Assert.Contains("In the end rank 1 is waited for", shown.Output, StringComparison.Ordinal);
        Assert.Contains("sent     the activation, to rank 1", shown.Output, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("")]
    [InlineData("{}")]
    [InlineData("[1]")]
    [InlineData("{\"reason\":\"x\",\"step\":1,\"generation\":1,\"rank_count\":1,\"ranks\":[{\"rank\":0,\"entries\":null}]}")]
    public void What_is_no_dump_is_refused_in_a_sentence(string text)
    {
        var path = _folder.In("file.json");
        File.WriteAllText(path, text);
        var fault = Assert.Throws<RunException>(() => FlightFile.Read(path));
        Assert.Contains("Name a file that `dump` or a stall has written", fault.Message, StringComparison.Ordinal);
    }

    private static FlightDump Dump(int count, params RankFlight[] ranks) => new("nothing has moved", 6, 1, count, ranks);

    private static RankFlight Waiting(int rank, int forRank) => new(rank, 6, "waits for something", forRank, []);
}
