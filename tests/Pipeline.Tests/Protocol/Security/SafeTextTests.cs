using CsCheck;
using Pipeline.Protocol.Security;
using Xunit;

namespace Pipeline.Tests.Protocol.Security;

/// <summary>Row A8 of the fault matrix: a name cannot write a line of the log.</summary>
public sealed class SafeTextTests
{
    [Fact]
    public void Whatever_comes_in_one_short_line_of_visible_signs_comes_out() => Gen.String.Sample(text =>
    {
        var shown = SafeText.Of(text, 40);
        Assert.DoesNotContain(shown, character => char.IsControl(character) || character is '\u2028' or '\u202E' or '\u200F');
        Assert.True(shown.Length <= 40 + 9, shown);
    });

    [Theory]
    [InlineData("node-1", "node-1")]
    [InlineData("Größe 7 × 3", "Größe 7 × 3")]
    [InlineData("a\nERROR forged", "a\\u000AERROR forged")]
    [InlineData("\u001b[31mred", "\\u001B[31mred")]
    [InlineData("user\u202Egnp.exe", "user\\u202Egnp.exe")]
    [InlineData("a\\u000A", "a\\u005Cu000A")]
    public void What_is_plainly_visible_stays_and_the_rest_is_written_out(string text, string shown) => Assert.Equal(shown, SafeText.Of(text));
}
