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
        using (var taken = StateCopy.Of(id, [], residuals, nextAttempt))
        {
            Assert.Equal(nextAttempt, taken.NextAttempt);
            copies.Write(taken);
        }

        using var read = copies.Read(id);
        Assert.Equal(nextAttempt, read.NextAttempt);
        Assert.True(read.Holds(ResidualStore.NameOf("a transfer")));
    }
}
