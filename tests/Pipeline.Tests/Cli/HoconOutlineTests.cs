using CsCheck;
using Pipeline.Cli.Configuration;
using Xunit;

namespace Pipeline.Tests.Cli;

public sealed class HoconOutlineTests
{
    [Theory]
    [InlineData("pipeline { stages = ", 1, "no value after '='")]
    [InlineData("pipeline {\n  stages", 2, "has no value: expected")]
    [InlineData("pipeline {\n  a = 1\n", 1, "inside the section opened here")]
    [InlineData("a = [1, 2", 1, "inside the list opened here")]
    [InlineData("a = \"text", 1, "quoted text that begins on this line never ends")]
    [InlineData("a = \"\"\"text\n\n", 1, "quoted text that begins on this line never ends")]
    [InlineData("a = 1\n}\n", 2, "A '}' closes a section that nothing opened")]
    [InlineData("a =\nb = 2", 1, "The key 'a' has no value after '='.")]
    [InlineData("= 3", 1, "Expected a key, found '='")]
    [InlineData("include \"other.conf\"", 1, "An include is not supported")]
    [InlineData("a = ${HOME}", 1, "A substitution ${…} is not supported")]
    [InlineData("a = b { c", 1, "Unexpected '{' within a value")]
    public void Broken_text_is_named_with_its_line(string text, int line, string sentence)
    {
        var fault = HoconOutline.Of(text).Faults[0];
        Assert.Equal(line, fault.Line);
        Assert.Contains(sentence, fault.Sentence, StringComparison.Ordinal);
    }

    [Fact]
    public void Keys_have_their_lines_past_comments_quotes_and_nesting()
    {
        const string text = """
            # a { b = }
            a { // "
              "b" = "} # not a comment {"
              c : [ "]", # ]
                1 ], d.e = x
            }
            { f = 1 }
            g = "\"{"
            """;
        var outline = HoconOutline.Of(text);
        Assert.Empty(outline.Faults);
        Assert.Equal([("a.b", 3), ("a.c", 4), ("a.d.e", 5), ("f", 7), ("g", 8)], outline.Lines.Select(pair => (pair.Key, pair.Value)));
    }

    private static readonly Gen<string> AnyName = Gen.String[Gen.Char['a', 'd'], 1, 3];

    private static Gen<string> AnySection(int depth) =>
        Gen.Select(AnyName, depth == 0 ? AnyScalar : Gen.OneOf(AnyScalar, AnySection(depth - 1).Select(body => $" {{\n{body}}}")))
            .Select((name, value) => name + value + "\n").Array[1, 4].Select(string.Concat);

    private static readonly Gen<string> AnyScalar = Gen.OneOf(" = 1", " = text", " = \"a } b\"", " : [1, 2]", " = 1e-4 # note", "=true");

    [Fact]
    public void The_outline_and_the_parser_agree_on_the_keys_of_whole_text() =>
        AnySection(3).Sample(text =>
        {
            var layer = ConfigurationLayer.FromHocon("test", text);
            Assert.Empty(layer.Faults);
            Assert.All(layer.Entries, entry => Assert.True(entry.Origin.Line > 0, entry.FullPath));
        }, iter: 500);

    [Fact]
    public void Every_text_cut_within_a_section_is_noticed() =>
        AnySection(2).SelectMany(body => Gen.Int[0, body.Length], (body, length) => $"pipeline {{\n{body[..length]}")
            .Sample(text => Assert.NotEmpty(HoconOutline.Of(text).Faults), iter: 500);

    [Fact]
    public void No_text_makes_reading_throw() =>
        Gen.String[Gen.Char["ab{}[]=:,\"#\n $\\+/."], 0, 40].Sample(text => { ConfigurationLayer.FromHocon("test", text); }, iter: 5_000);
}
