using System.Text;
using System.Text.Json;
using CsCheck;
using Pipeline.Runs;
using Xunit;

namespace Pipeline.Tests.Runs;

public sealed class MetricsTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    private static readonly Gen<StepMetrics> s_step = Gen.Select(Gen.Double, Gen.Double, Gen.Double[0, 1], Gen.Long[0, 1L << 40], Gen.Int[0, 4], Gen.Bool)
        .Select((loss, norm, rate, tokens, stageCount, hasDigest) => new StepMetrics(1)
        {
            Loss = loss,
            GradientNorm = norm,
            LearningRate = rate,
            Tokens = tokens,
            Seconds = rate * 3,
            Bubble = rate / 7,
            Generation = hasDigest ? stageCount + 1 : null,
            Stages = [.. Enumerable.Range(0, stageCount).Select(rank => new StageMetrics(rank, rate, norm, loss, rank % 3))],
            Clipped = stageCount == 0 ? null : hasDigest,
            Redone = stageCount == 0 ? null : stageCount == 1,
            Digest = hasDigest ? new Dictionary<string, string>(StringComparer.Ordinal) { ["block.0.\"attention\""] = "00ff", ["head"] = "12ab" } : null,
        });

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void A_line_is_what_the_contract_says()
    {
        using (var writer = MetricsWriter.Create(Path()))
        {
            writer.Write(Step(1) with { Loss = 1.0 / 3, GradientNorm = double.NaN, Digest = new Dictionary<string, string>(StringComparer.Ordinal) { ["head"] = "00ff" } });
            writer.Write(new EvaluationMetrics(1, 2.5, 1.25));
            writer.Write(Step(2) with { Clipped = true, Redone = false, Stages = [] });
            writer.Write(new EvaluationMetrics(2, double.PositiveInfinity, null));
        }

        Assert.Equal(
            """
            {"step":1,"loss":0.3333333333333333,"grad_norm":null,"lr":0.0003,"tokens":4096,"seconds":0.5,"bubble":0.25,"stages":[{"rank":0,"busy":0.375,"wait":0.125,"bubble":0.25}],"digest":{"head":"00ff"}}
            {"step":1,"val_loss":2.5,"val_bits_per_byte":1.25}
            {"step":2,"loss":3.5,"grad_norm":1.5,"lr":0.0003,"tokens":4096,"seconds":0.5,"bubble":0.25,"clipped":true,"redone":false,"stages":[]}
            {"step":2,"val_loss":null}

            """,
            File.ReadAllText(Path()));
    }

    [Fact]
    public void Numbers_are_read_back_to_the_last_bit_and_non_finite_ones_as_NaN()
    {
        s_step.Sample(step =>
        {
            File.Delete(Path());
            using (var writer = MetricsWriter.Create(Path()))
                writer.Write(step);
            var read = Assert.IsType<StepMetrics>(Assert.Single(MetricsReader.Read(Path())));
            AssertSame(step.Loss, read.Loss);
            AssertSame(step.GradientNorm, read.GradientNorm);
            AssertSame(step.LearningRate, read.LearningRate);
            AssertSame(step.Bubble, read.Bubble);
            Assert.Equal(step.Tokens, read.Tokens);
            Assert.Equal(step.Stages.Count, read.Stages.Count);
            Assert.Equal((step.Clipped, step.Redone), (read.Clipped, read.Redone));
            Assert.Equal(step.Digest, read.Digest);
        }, iter: 300, threads: 1);
    }

    [Fact]
    public void Each_line_can_be_read_as_soon_as_it_is_written()
    {
        using var writer = MetricsWriter.Create(Path());
        for (var step = 1; step <= 20; step++)
        {
            writer.Write(Step(step));
            Assert.Equal(step, MetricsReader.Read(Path()).Count());
        }
    }

    [Fact]
    public void A_last_line_torn_at_any_byte_is_left_out_and_written_over_on_resume()
    {
        Write(3);
        var whole = File.ReadAllBytes(Path());
        var lastStart = Encoding.UTF8.GetString(whole).TrimEnd('\n').LastIndexOf('\n') + 1;
        for (var length = lastStart; length <= whole.Length; length++)
        {
            File.WriteAllBytes(Path(), whole[..length]);
            var isWhole = length >= whole.Length - 1; // only the line's end may be missing
            Assert.Equal(isWhole ? 3 : 2, MetricsReader.Read(Path()).Count());
            using (var writer = MetricsWriter.Resume(Path(), 3))
                writer.Write(Step(4));
            Assert.Equal(isWhole ? [1, 2, 3, 4] : [1L, 2, 4], Steps());
        }
    }

    [Fact]
    public void Resuming_drops_exactly_the_later_steps()
    {
        Gen.Select(Gen.Int[0, 12], Gen.Int[0, 14]).Sample((count, last) =>
        {
            File.Delete(Path());
            Write(count, withEvaluations: true);
            using (var writer = MetricsWriter.Resume(Path(), last))
                writer.Write(Step(last + 1));
            Assert.Equal([.. Enumerable.Range(1, Math.Min(count, last)).SelectMany(step => step % 3 == 0 ? new[] { (long)step, step } : [step]), last + 1], Steps());
            Assert.Single(Directory.EnumerateFiles(_folder.Folder));
        }, iter: 100, threads: 1);
    }

    [Theory]
    [InlineData("{\"step\":2,\"loss\":")]
    [InlineData("[]")]
    [InlineData("")]
    public void A_damaged_line_in_the_middle_is_refused_by_number_and_the_file_is_left_alone(string line)
    {
        Write(5);
        var lines = File.ReadAllLines(Path());
        lines[1] = line;
        File.WriteAllLines(Path(), lines);
        var before = File.ReadAllText(Path());
        var exception = Assert.Throws<RunException>(() => MetricsReader.Read(Path()).Count());
        Assert.Contains("line 2", exception.Message, StringComparison.Ordinal);
        Assert.Contains(Path(), exception.Message, StringComparison.Ordinal);
        Assert.Throws<RunException>(() => MetricsWriter.Resume(Path(), 4));
        Assert.Throws<RunException>(() => MetricsWriter.Resume(Path(), 0));
        Assert.Equal(before, File.ReadAllText(Path()));
    }

    [Fact]
    public void A_line_that_is_no_metrics_is_refused_by_number()
    {
        File.WriteAllText(Path(), "{\"step\":1}\n{\"step\":2}\n");
        Assert.Contains("line 1", Assert.Throws<RunException>(() => MetricsReader.Read(Path()).Count()).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Lines_written_by_many_threads_do_not_mix()
    {
        using (var writer = MetricsWriter.Create(Path()))
            Parallel.For(1, 500, step => writer.Write(Step(step)));
        Assert.Equal(Enumerable.Range(1, 499).Select(step => (long)step), Steps().Order());
    }

    [Fact]
    public void Every_line_is_JSON_for_any_other_reader()
    {
        Write(9, withEvaluations: true);
        foreach (var line in File.ReadLines(Path()))
            JsonDocument.Parse(line).Dispose();
    }

    private static StepMetrics Step(long step) => new(step)
    {
        Loss = 3.5,
        GradientNorm = 1.5,
        LearningRate = 3e-4,
        Tokens = 4096,
        Seconds = 0.5,
        Bubble = 0.25,
        Stages = [new StageMetrics(0, 0.375, 0.125, 0.25)],
    };

    private void Write(int count, bool withEvaluations = false)
    {
        using var writer = MetricsWriter.Create(Path());
        for (var step = 1; step <= count; step++)
        {
            writer.Write(Step(step));
            if (withEvaluations && step % 3 == 0)
                writer.Write(new EvaluationMetrics(step, 3, null));
        }
    }

    private IEnumerable<long> Steps() => [.. MetricsReader.Read(Path()).Select(line => line.Step)];

    private string Path() => _folder.In("metrics.jsonl");

    private static void AssertSame(double expected, double actual) =>
        Assert.Equal(BitConverter.DoubleToInt64Bits(double.IsFinite(expected) ? expected : double.NaN), BitConverter.DoubleToInt64Bits(actual));
}
