using System.Text.Json;
using System.Xml.Linq;
using CsCheck;
using Pipeline.Runs;
using Xunit;

namespace Pipeline.Tests.Runs;

public sealed class TimelineTests
{
    [Fact]
    public void The_picture_of_a_step_is_the_golden_one() =>
        Golden.AssertEqual("timeline.svg", TimelinePlot.Draw(OneForwardOneBackward(4, 8)));

    [Fact]
    public void The_bubble_is_what_no_span_covers()
    {
        var timeline = new Timeline("t", [new("a"), new("b"), new("c", 0.125), new("d")],
        [
            new(0, "x", "F", 0, 10, 14), new(0, "y", "B", 0, 12, 15), new(0, "z", "B", 0, 13, 14),
            new(1, "x", "F", 0, 10, 20), new(2, "x", "F", 0, 11, 12),
        ]);
        Assert.Equal(0.5, timeline.BubbleOf(0), 12);
        Assert.Equal(0, timeline.BubbleOf(1), 12);
        Assert.Equal(0.125, timeline.BubbleOf(2), 12);
        Assert.Equal(1, timeline.BubbleOf(3), 12);
    }

    [Fact]
    public void Any_timeline_gives_a_well_formed_picture_and_a_valid_trace()
    {
        var span = Gen.Select(Gen.Int[0, 3], Gen.OneOf("F", "B", "I", "W", "optimizer", "odd <kind>", "other"), Gen.Int[0, 200], Gen.Double[0, 100], Gen.Double[0, 5])
            .Select((lane, kind, microBatch, start, length) => new TimelineSpan(lane, $"{kind}{microBatch}\u0007", kind, microBatch == 0 ? null : microBatch, start, start + length, 3));
        span.Array[0, 60].Sample(spans =>
        {
            var flows = spans.Length < 2 ? null : new[] { new TimelineFlow("activation", 0, spans.Length - 1) };
            var timeline = new Timeline("a <b> & \u0001", [new("0"), new("1"), new("2", 0.5), new("3", null, "node")], spans, flows);
            XDocument.Parse(TimelinePlot.Draw(timeline));
            using var trace = Trace(timeline);
            Assert.Equal(spans.Length, Events(trace).Count(item => item.GetProperty("ph").GetString() == "X"));
        }, iter: 200);
    }

    [Fact]
    public void A_trace_names_its_tracks_and_draws_arrows_between_enclosing_spans()
    {
        var timeline = OneForwardOneBackward(2, 3);
        using var trace = Trace(timeline);
        var events = Events(trace).ToList();
        Assert.Equal(["stage 0", "stage 1"], events.Where(item => item.GetProperty("name").GetString() == "thread_name").Select(item => item.GetProperty("args").GetProperty("name").GetString()));
        Assert.Equal(0, events.Where(item => item.TryGetProperty("ts", out _)).Min(item => item.GetProperty("ts").GetDouble()));
        var first = events.First(item => item.GetProperty("ph").GetString() == "X");
        Assert.Equal(7, first.GetProperty("args").GetProperty("step").GetInt64());
        Assert.Equal(0, first.GetProperty("args").GetProperty("microBatch").GetInt32());
        foreach (var flow in events.Where(item => item.GetProperty("ph").GetString() is "s" or "f"))
        {
            Assert.Contains(events, span => span.GetProperty("ph").GetString() == "X"
                && span.GetProperty("tid").GetInt32() == flow.GetProperty("tid").GetInt32()
                && span.GetProperty("ts").GetDouble() <= flow.GetProperty("ts").GetDouble()
                && flow.GetProperty("ts").GetDouble() < span.GetProperty("ts").GetDouble() + span.GetProperty("dur").GetDouble());
        }

        Assert.Equal(timeline.Flows!.Count * 2, events.Count(item => item.GetProperty("ph").GetString() is "s" or "f"));
    }

    [Fact]
    public void A_hundred_thousand_spans_give_a_valid_trace_and_a_picture_of_bounded_size()
    {
        var spans = Enumerable.Range(0, 100_000).Select(index => new TimelineSpan(index % 4, $"{index % 4}F{index}", index % 8 < 4 ? "F" : "B", index, index * 1e-3, index * 1e-3 + 4e-3)).ToList();
        var timeline = new Timeline("long", [new("0"), new("1"), new("2"), new("3")], spans);
        using var trace = Trace(timeline);
        Assert.Equal(100_000 + 5, trace.RootElement.GetProperty("traceEvents").GetArrayLength());
        Assert.InRange(TimelinePlot.Draw(timeline).Length, 1, 10_000_000);
    }

    /// <summary>1F1B with a backward of twice the forward's length, played by the rule that an action begins when its input and its rank are free.</summary>
    internal static Timeline OneForwardOneBackward(int stageCount, int microBatchCount)
    {
        var orders = Enumerable.Range(0, stageCount).Select(stage => Order(stage, stageCount, microBatchCount)).ToList();
        var (free, next) = (new double[stageCount], new int[stageCount]);
        var index = new Dictionary<(string Kind, int Stage, int MicroBatch), int>();
        var spans = new List<TimelineSpan>();
        var flows = new List<TimelineFlow>();
        while (spans.Count < 2 * stageCount * microBatchCount)
        {
            for (var stage = 0; stage < stageCount; stage++)
            {
                if (next[stage] == orders[stage].Count)
                    continue;
                var (kind, microBatch) = orders[stage][next[stage]];
                var from = kind == "F" ? stage - 1 : stage + 1;
                var hasInput = from >= 0 && from < stageCount;
                if (hasInput && !index.ContainsKey((kind, from, microBatch)))
                    continue;
                var start = Math.Max(free[stage], hasInput ? spans[index[(kind, from, microBatch)]].EndSeconds - 5 : 0);
                var end = start + (kind == "F" ? 0.012 : 0.024) + 0.0006 * ((microBatch + stage) % 3);
                index[(kind, stage, microBatch)] = spans.Count;
                if (hasInput)
                    flows.Add(new(kind == "F" ? "activation" : "gradient", index[(kind, from, microBatch)], spans.Count));
                spans.Add(new(stage, $"{stage}{kind}{microBatch}", kind, microBatch, start + 5, end + 5, 7));
                (free[stage], next[stage]) = (end, next[stage] + 1);
            }
        }

        spans = [.. spans, .. Enumerable.Range(0, stageCount).Select(stage => new TimelineSpan(stage, "optimizer", "optimizer", null, free.Max() + 5, free.Max() + 5.006, 7))];
        return new Timeline("Step 7, 1F1B, 4 stages", [.. Enumerable.Range(0, stageCount).Select(stage => new TimelineLane($"stage {stage}"))], spans, flows);
    }

    private static List<(string Kind, int MicroBatch)> Order(int stage, int stageCount, int microBatchCount)
    {
        var order = new List<(string, int)>();
        var warmUpCount = Math.Min(stageCount - 1 - stage, microBatchCount);
        for (var forward = 0; forward < warmUpCount; forward++)
            order.Add(("F", forward));
        for (var backward = 0; backward < microBatchCount; backward++)
        {
            if (warmUpCount + backward < microBatchCount)
                order.Add(("F", warmUpCount + backward));
            order.Add(("B", backward));
        }

        return order;
    }

    private static JsonDocument Trace(Timeline timeline)
    {
        var stream = new MemoryStream();
        ChromeTrace.Write(stream, timeline);
        return JsonDocument.Parse(stream.ToArray());
    }

    private static IEnumerable<JsonElement> Events(JsonDocument trace) => trace.RootElement.GetProperty("traceEvents").EnumerateArray();
}
