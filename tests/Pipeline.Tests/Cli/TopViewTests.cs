using System.Text.Json.Nodes;
using Pipeline.Cli.Terminal;
using Xunit;

namespace Pipeline.Tests.Cli;

/// <summary>The live view of a run, as lines.</summary>
public sealed class TopViewTests
{
    private static readonly TopView View = new(
        JsonNode.Parse("""{"run":"/runs/first","phase":"running","generation":2,"step":50,"end_step":200,"loss":3.25,"lr":0.001,"tokens_per_second":12345.6,"bubble":0.25,"eta_seconds":75,"health":["straggler at step 48: Rank 1 is slow.\u001b[2J"]}""")!.AsObject(),
        JsonNode.Parse("""[{"rank":0,"node":"node-\u001b[2Jevil","units":4,"busy":0.75,"wait":0.2},{"rank":1,"node":"node-2","units":4,"busy":null,"wait":null}]""")!.AsArray(),
        JsonNode.Parse("""[{"name":"node-1","ranks":[0,1],"device":"cuda:0","cpu_seconds":12.5,"memory_bytes":104857600},{"name":"node-2","ranks":[],"cpu_seconds":null,"memory_bytes":null}]""")!.AsArray(),
        JsonNode.Parse("""[{"from_rank":0,"to_rank":1,"from":"node-1","to":"node-2","same_process":true},{"from_rank":1,"to_rank":2,"from":"node-2","to":"node-3","same_process":false,"kind":"unix","purpose":"frames","connected":false,"bytes_per_second":2097152,"credit_bytes":1048576,"queued_bytes":0,"bytes_sent":9}]""")!.AsArray(),
        "5.0 ▇▅▃▁ 3.25");

    [Theory]
    [InlineData(40)]
    [InlineData(80)]
    [InlineData(200)]
    public void No_line_is_wider_than_the_window(int width) => Assert.All(View.Screen(width, hasColor: false), line => Assert.True(line.Length <= width, line));

    [Fact]
    public void Without_colour_nothing_drives_the_terminal() => Assert.All(View.Screen(120, hasColor: false), line => Assert.DoesNotContain('\u001b', line));

    [Fact]
    public void A_name_from_outside_drives_it_neither_with_colour() => Assert.DoesNotContain(View.Screen(120, hasColor: true), line => line.Contains("\u001b[2J", StringComparison.Ordinal));

    [Fact]
    public void Links_between_processes_are_shown_with_rate_and_credit() =>
        Assert.Equal("1 -> 2 frames   node-2 -> node-3                 2.00        1.00  broken", Assert.Single(View.Screen(120, hasColor: false), line => line.Contains("->", StringComparison.Ordinal) && line.Contains("node-3", StringComparison.Ordinal)));

    [Fact]
    public void Nodes_are_shown_with_their_ranks_device_and_load() => Assert.Equal(
        ["node-1        0,1       cuda:0     12.5    100 MiB", "node-2        spare                   -          -"],
        View.Screen(120, hasColor: false).Where(line => line.StartsWith("node-", StringComparison.Ordinal)));

    [Fact]
    public void What_is_wrong_stands_out()
    {
        Assert.Single(View.Screen(120, hasColor: false), line => line.StartsWith("look  straggler at step 48: Rank 1 is slow.", StringComparison.Ordinal));
        Assert.Single(View.Screen(120, hasColor: true), line => line.StartsWith("\u001b[31mlook  straggler", StringComparison.Ordinal));
    }

    [Fact]
    public void One_line_says_the_most_important() =>
        Assert.Equal("running step 50/200  loss 3.2500  lr 1.00E-3  12,346 tokens/s  bubble 25.0 %  ETA 00:01:15", View.Line());
}
