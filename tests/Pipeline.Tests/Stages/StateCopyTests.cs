using System.Runtime.InteropServices;
using Pipeline.Checkpoints;
using Pipeline.Protocol;
using Pipeline.Stages;
using Pipeline.Tests.Runs;
using Xunit;

namespace Pipeline.Tests.Stages;

public sealed class StateCopyTests
{
    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    public void A_copy_says_how_the_step_after_it_is_named_also_when_it_is_read_from_a_folder(int nextAttempt)
    {
        using TemporaryFolder folder = new();
        using ResidualStore residuals = new();
        residuals.Of("a transfer", 3)[1] = 2;
        CopyId id = new(new RunId(1), Generation.First, 0, 5);
        CopyFolder copies = new(folder.Folder);
        using (var taken = StateCopy.Of(id, [], residuals, CopyMemory.None, nextAttempt))
        {
            Assert.Equal(nextAttempt, taken.NextAttempt);
            copies.Write(taken);
        }

        using var read = copies.Read(id);
        Assert.Equal(nextAttempt, read.NextAttempt);
        Assert.True(read.Holds(ResidualStore.NameOf("a transfer")));
    }

    [Fact]
    public unsafe void Memory_of_a_copy_that_all_have_let_go_of_is_that_of_the_next_of_its_size()
    {
        using CopyMemory memory = new();
        var first = Of(memory, step: 1, elements: 5);
        var place = (nint)first.At(0);
        var other = first.Share();
        first.Dispose();
        using var second = Of(memory, step: 2, elements: 5);
        Assert.NotEqual(place, (nint)second.At(0));
        other.Dispose();
        // Whoever takes memory of the size in between would get what had been freed.
        var another = NativeMemory.AlignedAlloc(5 * sizeof(float), 64);
        using (var third = Of(memory, step: 3, elements: 5)) Assert.Equal(place, (nint)third.At(0));
        using (var fourth = Of(memory, step: 4, elements: 7)) fourth.Write(24, [1, 2, 3, 4]);
        NativeMemory.AlignedFree(another);
    }

    private static StateCopy Of(CopyMemory memory, long step, long elements) =>
        new(new CopyId(new RunId(1), Generation.First, 0, step), [new CopyTensor("weight", TensorTypes.F32, [elements])], elements * sizeof(float), memory);
}
