using CsCheck;
using Pipeline.Runs;
using Xunit;

namespace Pipeline.Tests.Runs;

public sealed class DigestTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Digests_are_read_back_and_a_resumed_file_goes_on_after_its_step()
    {
        var path = _folder.In("digests.jsonl");
        using (var file = DigestFile.Create(path))
        {
            for (var step = 1; step <= 5; step++)
                file.Write(Digests(step));
        }

        using (var file = DigestFile.Resume(path, 3))
            file.Write(Digests(4));
        var read = DigestFile.Read(path).ToList();
        Assert.Equal([1L, 2, 3, 4], read.Select(digests => digests.Step));
        Assert.Equal(Digests(2).Tensors, read[1].Tensors);
        Assert.Null(read[0].Tensors[2].FirstMoment);
    }

    [Fact]
    public void The_first_difference_is_named_by_step_unit_tensor_and_part()
    {
        Gen.Select(Gen.Int[1, 6], Gen.Int[0, 1], Gen.Int[0, 2]).Sample((step, tensor, part) =>
        {
            var left = Enumerable.Range(1, 6).Select(s => Digests(s)).ToList();
            var right = Enumerable.Range(1, 6).Select(s => Digests(s)).ToList();
            for (var later = step; later <= 6; later++)
                right[later - 1] = Changed(right[later - 1], tensor, part);
            var difference = DigestDifference.First(left, right);
            Assert.Equal(new DigestDifference(step, "block.0", tensor == 0 ? "query" : "key", new[] { "weight", "exp_avg", "exp_avg_sq" }[part]), difference);
            Assert.Null(DigestDifference.First(left, left));
        }, iter: 50);
    }

    [Fact]
    public void Steps_that_only_one_run_has_are_passed_over()
    {
        var left = new[] { 1, 2, 3, 4, 6 }.Select(step => Digests(step));
        var right = new[] { 2, 4, 5, 6, 8 }.Select(step => step == 6 ? Changed(Digests(6), 0, 0) : Digests(step));
        Assert.Equal(6, DigestDifference.First(left, right)!.Step);
    }

    [Fact]
    public void A_tensor_that_one_run_lacks_is_named()
    {
        var fewer = Digests(1) with { Tensors = [.. Digests(1).Tensors.Take(2)] };
        Assert.Equal(new DigestDifference(1, "head", "scale", "presence"), DigestDifference.First([Digests(1)], [fewer]));
        Assert.Equal(new DigestDifference(1, "head", "scale", "presence"), DigestDifference.First([fewer], [Digests(1)]));
    }

    private static StepDigests Digests(int step) => new(step,
    [
        new("block.0", "query", $"{step}a", $"{step}b", $"{step}c"),
        new("block.0", "key", $"{step}d", $"{step}e", $"{step}f"),
        new("head", "scale", $"{step}0", null, null),
    ]);

    private static StepDigests Changed(StepDigests digests, int tensor, int part)
    {
        var tensors = digests.Tensors.ToArray();
        tensors[tensor] = part switch
        {
            0 => tensors[tensor] with { Weight = "other" },
            1 => tensors[tensor] with { FirstMoment = "other" },
            _ => tensors[tensor] with { SecondMoment = "other" },
        };
        return digests with { Tensors = tensors };
    }
}
