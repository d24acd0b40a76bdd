using CsCheck;
using Pipeline.Operator;
using Xunit;

namespace Pipeline.Tests.Operator;

/// <summary>Lines of operators as words.</summary>
public sealed class CommandWordsTests
{
    [Fact]
    public void A_quoted_word_is_read_back_as_it_was() => Gen.String.Array[1, 5].Sample(words =>
    {
        var parsed = CommandWords.Parse("generate " + string.Join(' ', words.Select(CommandWords.Quote)));
        Assert.Equal("generate", parsed.Name);
        Assert.Equal(words.Where(word => !(word.Length > 2 && word.StartsWith("--", StringComparison.Ordinal))), parsed.Arguments);
    });

    [Fact]
    public void Semicolons_and_line_ends_separate_outside_quotes() =>
        Assert.Equal(["pause", "say \"a;b\"", "resume"], CommandWords.Lines("pause; say \"a;b\"\n# a comment\n\nresume;"));

    [Fact]
    public void A_line_end_closes_a_quote() => Assert.Equal(["say \"a", "stop"], CommandWords.Lines("say \"a\nstop"));

    [Fact]
    public void Flags_are_told_from_arguments_wherever_they_stand()
    {
        var words = CommandWords.Parse("move --yes 1 node-2 --json");
        Assert.Equal(["1", "node-2"], words.Arguments);
        Assert.Equal(["--yes", "--json"], words.Flags);
    }
}
