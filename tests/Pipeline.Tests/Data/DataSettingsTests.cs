using Pipeline.Data;
using Xunit;

namespace Pipeline.Tests.Data;

public sealed class DataSettingsTests
{
    [Fact]
    public void The_defaults_are_in_range() => Assert.Empty(new DataSettings().FindProblems());

    [Fact]
    public void All_problems_are_reported_at_once_by_key()
    {
        DataSettings settings = new()
        {
            HoldOut = double.NaN,
            TextField = "",
            Tokenizer = " ",
            VocabularySize = 100,
            ContextLength = 0,
            CacheFolder = "",
        };
        string message = Assert.Throws<DataException>(settings.ThrowIfInvalid).Message;
        foreach (string part in (string[])["data.hold-out", "data.text-field", "data.tokenizer", "data.vocabulary-size is 100", "model.context", "data.cache-folder"])
            Assert.Contains(part, message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(0.0)]
    [InlineData(0.51)]
    [InlineData(-1.0)]
    public void A_hold_out_beyond_half_or_of_nothing_is_refused(double share) =>
        Assert.Single(new DataSettings { HoldOut = share }.FindProblems());
}
