using Pipeline.Cli.Configuration;
using Xunit;

namespace Pipeline.Tests.Cli;

public sealed class NearestNameTests
{
    private static readonly string[] Names = ["train", "config", "doctor", "generate"];

    [Theory]
    [InlineData("tarin", "train")]
    [InlineData("Config", "config")]
    [InlineData("docter", "doctor")]
    [InlineData("genrate", "generate")]
    public void A_slip_finds_the_word(string slip, string word) => Assert.Equal(word, NearestName.To(slip, Names));

    [Fact]
    public void A_word_that_is_near_to_nothing_finds_nothing() => Assert.Null(NearestName.To("xylophone", Names));
}
