using Pipeline.Protocol;
using Pipeline.Protocol.Frames;
using Pipeline.Stages;
using TorchSharp;
using Xunit;

namespace Pipeline.Tests.Stages;

/// <summary>Whose memory that which is kept of loans lies in.</summary>
public sealed class KeptMemoryTests
{
    private const int Length = 8;

    [Fact]
    public void What_is_kept_of_a_step_lies_where_that_of_a_forgotten_one_lay_if_it_is_as_long()
    {
        var kept = new KeptMessages(new KeptVolume(long.MaxValue));
        using var gradient = torch.arange(0, Length, dtype: torch.ScalarType.Float32);
        var former = Settled(kept, gradient, step: 1);
        var other = Lent(kept, gradient, step: 2);
        var another = other.NewPlace();
        Assert.NotSame(former, another);
        other.Replace(another);
        kept.Forget(1);
        Assert.Same(former, Settled(kept, gradient, step: 3));
        Assert.NotSame(former, Settled(kept, gradient.narrow(0, 0, Length - 1), step: 4));
        kept.Close();
    }

    [Fact]
    public void Memory_that_is_still_being_sent_again_or_was_the_owners_is_not_used_again()
    {
        var kept = new KeptMessages(new KeptVolume(long.MaxValue));
        using var gradient = torch.arange(0, Length, dtype: torch.ScalarType.Float32);
        _ = Lent(kept, gradient, step: 1);
        var loan = Lent(kept, gradient, step: 1);
        var own = loan.NewPlace();
        own.copy_(gradient);
        loan.Replace(own);
        using var again = loan.Again()!.Tensor;
        kept.Forget(1);
        for (var step = 2; step < 4; step++) Settled(kept, gradient, step).fill_(-1);
        Assert.Equal(Enumerable.Range(0, Length).Select(index => (float)index), again.data<float>().ToArray());
        Assert.Equal(Enumerable.Range(0, Length).Select(index => (float)index), gradient.data<float>().ToArray());
        kept.Close();
    }

    [Fact]
    public void What_comes_back_late_is_used_again_until_everything_is_closed()
    {
        var kept = new KeptMessages(new KeptVolume(long.MaxValue));
        using var gradient = torch.arange(0, Length, dtype: torch.ScalarType.Float32);
        var (first, second) = (Lent(kept, gradient, step: 1), Lent(kept, gradient, step: 1));
        var (late, later) = (first.NewPlace(), second.NewPlace());
        kept.Forget(1);
        first.Replace(late);
        Assert.Same(late, Settled(kept, gradient, step: 2));
        kept.DropSpare();
        kept.Close();
        second.Replace(later);
        Assert.True(later.IsInvalid);
    }

    /// <summary>What is kept of something that was lent, once that has changed.</summary>
    private static torch.Tensor Settled(KeptMessages kept, torch.Tensor view, long step)
    {
        var loan = Lent(kept, view, step);
        var own = loan.NewPlace();
        own.copy_(view);
        loan.Replace(own);
        return own;
    }

    private static KeptLoan Lent(KeptMessages kept, torch.Tensor view, long step) =>
        kept.AddLent(1, new FrameKey(new StepKey(new RunId(1), Generation.None, 0, step), 0, 0, 0, FrameKind.GradientContribution), KeptMessages.Alias(view));
}
