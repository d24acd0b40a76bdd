using System.Globalization;
using System.Xml.Linq;
using CsCheck;
using Pipeline.Runs;
using Xunit;

namespace Pipeline.Tests.Runs;

public sealed class LossPlotTests
{
    [Fact]
    public void The_picture_of_a_run_is_the_golden_one() =>
        Golden.AssertEqual("loss.svg", LossPlot.Draw("2026-01-31-gpt-micro-001", Run(400), Evaluations(400)));

    [Fact]
    public void Any_numbers_give_a_well_formed_picture_of_bounded_size()
    {
        var loss = Gen.Frequency((20, Gen.Double[0, 12]), (1, Gen.OneOf(double.NaN, double.PositiveInfinity, 1e300, -1e300, 0.0)));
        Gen.Select(loss.Array[0, 200], Gen.Double[0, 12].Array[0, 20], Gen.OneOf(0.0, 1e-9, 1e-3, 2.0, double.NaN)).Sample((losses, validations, rate) =>
        {
            var svg = LossPlot.Draw("a <b> & \"c\" \u0001", [.. losses.Select((value, index) => Step(index + 1, value, rate))], [.. validations.Select((value, index) => new EvaluationMetrics(index * 7, value, null))]);
            XDocument.Parse(svg);
            Assert.DoesNotContain("NaN", svg, StringComparison.Ordinal);
            Assert.DoesNotContain("∞", svg, StringComparison.Ordinal);
        }, iter: 300);
    }

    [Fact]
    public void A_long_run_does_not_make_a_large_file()
    {
        var svg = LossPlot.Draw("long", Run(100_000), []);
        Assert.InRange(svg.Length, 1, 150_000);
    }

    [Fact]
    public void Smoothing_keeps_a_constant_and_begins_at_the_first_value()
    {
        Assert.All(LossCurve.Smooth([.. Enumerable.Repeat(2.5, 500)]), value => Assert.Equal(2.5, value, 12));
        Assert.Equal(9, LossCurve.Smooth([.. Enumerable.Range(0, 500).Select(index => index == 0 ? 9.0 : 1.0)])[0], 12);
        Assert.All(LossCurve.Smooth([.. Enumerable.Range(0, 400).Select(index => index * 3.0)]).Take(380).Select((value, index) => value - index * 3), lag => Assert.Equal(0, lag, 9));
        var gap = LossCurve.Smooth([1, double.NaN, 1]);
        Assert.True(double.IsNaN(gap[1]));
        Assert.Equal(1, gap[2], 12);
    }

    [Fact]
    public void Ticks_are_round_and_cover_the_axis()
    {
        Gen.Select(Gen.Double[-1e6, 1e6], Gen.Double[1e-6, 1e6]).Sample((from, length) =>
        {
            var scale = PlotScale.Over(from, from + length, 0, 100);
            var ticks = scale.Ticks(6);
            Assert.InRange(ticks.Count, 2, 8);
            // A short axis far from zero has ticks that are exact to a number's last digits only.
            var slack = (length * 1e-6) + ((Math.Abs(from) + length) * 1e-14);
            Assert.All(ticks, tick => Assert.InRange(tick.Value, from - slack, from + length + slack));
            Assert.Equal(ticks.Count, ticks.Select(tick => tick.Value).Distinct().Count());
        });
        string[] expected = ["0", "200", "400", "600", "800", "1,000"];
        Assert.Equal(expected, PlotScale.Over(0, 1000, 0, 1).Ticks(5).Select(tick => tick.Label));
    }

    internal static IReadOnlyList<StepMetrics> Run(int count) => [.. Enumerable.Range(1, count).Select(step =>
    {
        // A curve like a real one, with noise from a sum of sines, so that no generator is needed.
        var noise = Math.Sin(step * 12.9898) * 0.11 + Math.Sin(step * 78.233) * 0.09 + Math.Sin(step * 3.7) * 0.05;
        var progress = (double)step / count;
        var rate = progress < 0.1 ? progress * 10 * 1e-3 : 1e-3 * (0.1 + 0.9 * 0.5 * (1 + Math.Cos(Math.PI * (progress - 0.1) / 0.9)));
        return Step(step, Math.Round(2.6 + 5.7 * Math.Exp(-progress * 9) + 0.6 * Math.Exp(-progress * 2) + noise, 6), Math.Round(rate, 9));
    })];

    internal static IReadOnlyList<EvaluationMetrics> Evaluations(int count) =>
        [.. Enumerable.Range(0, 9).Select(index => (Step: Math.Max(1, index * count / 8), Progress: index / 8.0))
            .Select(point => new EvaluationMetrics(point.Step, Math.Round(2.75 + 5.5 * Math.Exp(-point.Progress * 9) + 0.6 * Math.Exp(-point.Progress * 2), 4), 1.2345))];

    private static StepMetrics Step(long step, double loss, double rate) =>
        new(step) { Loss = loss, GradientNorm = 1, LearningRate = rate, Tokens = 1, Seconds = 1, Bubble = 0, Stages = [] };

    [Fact]
    public void Every_number_in_the_picture_has_at_most_two_decimals()
    {
        var svg = XDocument.Parse(LossPlot.Draw("a", Run(50), Evaluations(50)));
        foreach (var attribute in svg.Descendants().Attributes().Where(attribute => attribute.Name.LocalName is "x" or "y" or "x1" or "x2" or "y1" or "y2" or "width" or "height" or "cx" or "cy"))
        {
            var number = double.Parse(attribute.Value, CultureInfo.InvariantCulture);
            Assert.Equal(Math.Round(number, 2), number);
        }
    }
}
