using Pipeline.Coordinator;
using Pipeline.Protocol;
using Xunit;

namespace Pipeline.Tests.Coordinator;

public sealed class CopyLedgerTests
{
    private static readonly NodeId s_holder = new("akka://a", 1);

    [Fact]
    public void A_copy_is_new_once_and_one_that_is_older_than_those_that_are_kept_never()
    {
        CopyLedger copies = new(1, 0);
        Assert.True(copies.Enter(0, 4, s_holder));
        Assert.False(copies.Enter(0, 4, s_holder));
        Assert.True(copies.Enter(0, 6, s_holder));
        Assert.True(copies.Enter(0, 8, s_holder));
        Assert.False(copies.Enter(0, 4, s_holder));
        Assert.Equal([6, 8], copies.StepsOf(0).Order());
        copies.Lose(s_holder);
        Assert.True(copies.Enter(0, 8, s_holder));
    }
}
