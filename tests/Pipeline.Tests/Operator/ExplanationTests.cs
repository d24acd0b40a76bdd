using System.Diagnostics.Metrics;
using Pipeline.Coordinator;
using Pipeline.Operator;
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

    [Theory]
    [InlineData(new double[0], "")]
    [InlineData(new double[] { 1, 1, 1 }, "▁▁▁")]
    [InlineData(new double[] { 0, double.NaN, 7 }, "▁█")]
    public void A_sparkline_leaves_out_what_is_not_finite(double[] values, string expected) => Assert.Equal(expected, Sparkline.Of(values, 10));

    [Fact]
    public void A_sparkline_is_never_wider_than_asked() => Assert.Equal(60, Sparkline.Of([.. Enumerable.Range(0, 100_000).Select(value => (double)value)], 60).Length);

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
