using System.Diagnostics.Metrics;
using Pipeline.Coordinator;
using Pipeline.Operator;
using Pipeline.Protocol;
using Pipeline.Runs;
using Pipeline.Tests.Runs;
using Xunit;

namespace Pipeline.Tests.Operator;

/// <summary>What is made of a run's steps: words, curves, instruments.</summary>
public sealed class ExplanationTests
{
    [Fact]
    public void A_straggler_is_named_with_what_it_costs()
    {
        var (text, json) = Explanation.Of([.. Enumerable.Range(1, 50).Select(step => Steps.Of(step, 4, busy: [0.4, 0.8]))]);
        Assert.Contains("Rank 1 computes 1.33 times as long as the mean", text, StringComparison.Ordinal);
        Assert.Contains("rebalance", text, StringComparison.Ordinal);
        Assert.Equal([1], json["stragglers"]!.AsArray().Select(rank => rank!.GetValue<int>()));
    }

    [Fact]
    public void Equal_ranks_wait_for_the_schedule_only() =>
        Assert.Contains("the schedule's own bubble", Explanation.Of([.. Enumerable.Range(1, 50).Select(step => Steps.Of(step, 4, busy: [0.7, 0.71]))]).Text, StringComparison.Ordinal);

    [Fact]
    public void A_link_that_holds_the_run_up_is_named_with_what_waits_and_why()
    {
        StepSummary[] steps = [.. Enumerable.Range(1, 50).Select(step => Steps.Of(step, 4, seconds: 0.5))];
        Assert.DoesNotContain("link", Explanation.Of(steps).Text, StringComparison.OrdinalIgnoreCase);
        Assert.Contains("No link holds it up: the busiest, Link 1 -> 0 (tcp, b to a), carries 8.00 MiB/s, 4.00 MiB a step", Text(Link(0, 1, 2 << 20, 4 << 20, 0), Link(1, 0, 8 << 20, 4 << 20, 1 << 10)), StringComparison.Ordinal);
        // A tenth of a step and more waits for the wire.
        Assert.Contains("Link 0 -> 1 (tcp, a to b): 3.00 MiB wait, 0.300 s at its present rate, 60 % of a step: the link is the slower one", Text(Link(0, 1, 10 << 20, 4 << 20, 3 << 20)), StringComparison.Ordinal);
        Assert.Contains("nothing is carried at present", Text(Link(0, 1, 0, 4 << 20, 3 << 20)), StringComparison.Ordinal);
        Assert.Contains("3.00 MiB wait and rank 1 takes 0.50 MiB more: the receiver is the slower one", Text(Link(0, 1, 10 << 20, 1 << 19, 3 << 20)), StringComparison.Ordinal);
        Assert.Contains("is broken: 3.00 MiB wait", Text(Link(0, 1, 0, 0, 3 << 20, isConnected: false)), StringComparison.Ordinal);
        var json = Explanation.Of(steps, [Link(0, 1, 10 << 20, 4 << 20, 3 << 20), Link(1, 0, 10 << 20, 4 << 20, 0)]).Json["links"]!.AsArray();
        Assert.Equal([true, false], json.Select(link => link!["holds_up"]!.GetValue<bool>()));

        string Text(params LinkRate[] links) => Explanation.Of(steps, links).Text;
    }

    [Fact]
    public void What_nothing_hides_of_the_replicas_communication_is_told_where_there_is_any()
    {
        Assert.Null(ReplicaExchange.Of([Steps.Of(1, 4)]));
        Assert.DoesNotContain("replicas", Explanation.Of([Steps.Of(1, 4)]).Text, StringComparison.Ordinal);
        // Every second step meets; of the third rank, which adds nothing up, nothing is counted.
        StepSummary[] steps = [.. Enumerable.Range(1, 10).Select(step => Steps.Of(step, 4, seconds: 0.5) with
        {
            Ranks = [.. Enumerable.Range(0, 3).Select(rank => new RankSummary(rank, new StepTiming(0.5, 0.3, 0.2, 0, step % 2 == 0 && rank < 2 ? 0.2 : 0, step % 2 == 0 && rank < 2 ? 4 << 20 : 0), 0, []))],
        })];
        var exchange = ReplicaExchange.Of(steps)!;
        Assert.Equal((0.1, 0.2, 2 << 20), (Math.Round(exchange.ExposedSeconds, 9), Math.Round(exchange.Share, 9), exchange.Bytes));
        var (text, json) = Explanation.Of(steps);
        Assert.Contains("waits 100.0 ms a step, 20.0% of it, for other replicas", text.Replace(" %", "%", StringComparison.Ordinal), StringComparison.Ordinal);
        Assert.Contains("set compression int8", text, StringComparison.Ordinal);
        Assert.Equal(2 << 20, json["exchanged_bytes"]!.GetValue<double>());
        Assert.Equal([0.2, 0.2, null], RankShares.Of(steps).Select(share => share.Exposed is { } exposed ? Math.Round(exposed, 9) : (double?)null));
    }

    [Fact]
    public void What_the_schedule_alone_would_take_is_held_against_what_was_measured()
    {
        var (text, json) = Explanation.Of([Steps.Of(1, 4)], traced: (0.5, 0.4));
        Assert.Contains("The schedule alone would take 0.400 s for the same actions, of 0.500 s measured: 20 % is handing over", text, StringComparison.Ordinal);
        Assert.Equal((0.5, 0.4), (json["traced_seconds"]!.GetValue<double>(), json["alone_seconds"]!.GetValue<double>()));
    }

    [Fact]
    public void Steps_that_were_clipped_or_begun_anew_are_counted()
    {
        StepSummary[] steps = [.. Enumerable.Range(1, 50).Select(step => Steps.Of(step, 4) with { IsClipped = step % 10 == 0, IsRedone = step == 11 })];
        var (text, json) = Explanation.Of(steps);
        Assert.Contains("5 of these steps were clipped (10 %), 1 were begun anew (2 %)", text, StringComparison.Ordinal);
        Assert.Equal((0.1, 0.02), (json["clipped"]!.GetValue<double>(), json["redone"]!.GetValue<double>()));
        Assert.DoesNotContain("clipped", Explanation.Of([Steps.Of(1, 4)]).Text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(new double[0], "")]
    [InlineData(new double[] { 1, 1, 1 }, "▁▁▁")]
    [InlineData(new double[] { 0, double.NaN, 7 }, "▁█")]
    public void A_sparkline_leaves_out_what_is_not_finite(double[] values, string expected) => Assert.Equal(expected, Sparkline.Of(values, 10));

    [Fact]
    public void A_sparkline_is_never_wider_than_asked() => Assert.Equal(60, Sparkline.Of([.. Enumerable.Range(0, 100_000).Select(value => (double)value)], 60).Length);

    private static LinkRate Link(int from, int to, double bytesPerSecond, long credit, long queued, bool isConnected = true) =>
        new(new LinkLine(Name(from), Name(to), "tcp", "frames", from, to, isConnected, 1 << 30, credit, queued, 0, 0), bytesPerSecond);

    private static string Name(int rank) => rank == 0 ? "a" : "b";

    [Fact]
    public void A_watch_knows_what_was_recorded_before_it_and_no_step_twice()
    {
        using TemporaryFolder folder = new();
        RunFiles files = new(folder.Folder);
        using (var metrics = MetricsWriter.Create(files.Metrics))
        {
            for (var step = 1; step <= 5; step++) metrics.Write(RunRecorder.MetricsOf(Steps.Of(step, step)));
        }

        RunWatch watch = new(TimeProvider.System, files, throughStep: 3);
        watch.OnNotice(new RunNotice.StepCommitted(Steps.Of(4, 40)));
        Assert.Equal([1, 2, 3, 40], watch.Points().Select(point => point.Loss));
        Assert.Equal([4], watch.Points(3).Select(point => point.Step));
        Assert.Empty(watch.Points(4));
    }

    [Fact]
    public void Steps_are_counted_and_measured_by_instruments()
    {
        var values = new Dictionary<string, double>(StringComparer.Ordinal);
        using RunMeter meter = new(TimeProvider.System);
        using MeterListener listener = new();
        // Other runs of this process have meters of the same name.
        listener.InstrumentPublished = (instrument, self) => { if (instrument.Meter.Name == RunMeter.Name) self.EnableMeasurementEvents(instrument); };
        listener.SetMeasurementEventCallback<long>((instrument, value, _, _) => Add(instrument, value));
        listener.SetMeasurementEventCallback<double>((instrument, value, _, _) => Add(instrument, value));
        listener.Start();
        meter.OnNotice(new RunNotice.StepCommitted(Steps.Of(1, 3.5, 2, [0.5, 0.25])));
        lock (values)
        {
            Assert.True(values["pipeline.steps"] >= 1);
            Assert.True(values["pipeline.tokens"] >= 1000);
            Assert.True(values["pipeline.step.duration"] >= 2);
            Assert.True(values["pipeline.rank.busy.time"] >= 1.5);
        }

        void Add(Instrument instrument, double value)
        {
            lock (values) values[instrument.Name] = values.GetValueOrDefault(instrument.Name) + value;
        }
    }
}
