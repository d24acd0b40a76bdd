using Pipeline.Operator;
using Xunit;

namespace Pipeline.Tests.Operator;

/// <summary>What the catalogue promises of every command.</summary>
public sealed class CommandCatalogueTests
{
    public static TheoryData<string> Names => new(CommandCatalogue.All.Select(command => command.Name));

    [Theory]
    [MemberData(nameof(Names))]
    public void Every_command_teaches_itself_with_examples_that_can_be_typed(string name)
    {
        var command = CommandCatalogue.Find(name)!;
        Assert.NotEmpty(command.Examples);
        Assert.All(command.Examples, example => Assert.Null(CommandCatalogue.FaultOf(CommandWords.Parse(example.Line))));
        Assert.Contains(command.Summary, HelpCommand.Describe(name), StringComparison.Ordinal);
        Assert.Contains(command.Usage, HelpCommand.Overview(), StringComparison.Ordinal);
    }

    [Fact]
    public void Names_are_unique() => Assert.Distinct(CommandCatalogue.All.Select(command => command.Name));

    [Theory]
    [InlineData("stop", true)]
    [InlineData("drain", true)]
    [InlineData("move", true)]
    [InlineData("restart", true)]
    [InlineData("pause", false)]
    [InlineData("resume", false)]
    [InlineData("checkpoint", false)]
    public void Dangerous_commands_ask_and_others_do_not(string name, bool asks) => Assert.Equal(asks, CommandCatalogue.Find(name)!.Warning is not null);

    [Theory]
    [InlineData("stats", "Did you mean")]
    [InlineData("move 1", "Expected: move RANK|UNIT NODE")]
    [InlineData("status --fast", "status knows no --fast")]
    [InlineData("\u001b[2J", "There is no command '\\u001B[2J'")]
    public void A_line_that_cannot_be_is_answered_with_a_sentence(string line, string sentence) =>
        Assert.Contains(sentence, CommandCatalogue.FaultOf(CommandWords.Parse(line)), StringComparison.Ordinal);
}
