using CsCheck;
using Pipeline.Schedules;
using Xunit;

namespace Pipeline.Tests.Schedules;

public sealed class StageActionTests
{
    private static readonly Gen<StageAction> AnyAction = Gen.Select(Gen.Int[0, 5_000], Gen.Enum<ActionKind>(), Gen.Int[0, 5_000])
        .Select((stage, kind, microBatch) => kind.IsStepLevel() ? StageAction.StepLevel(stage, kind) : new StageAction(stage, kind, microBatch));

    [Fact]
    public void Text_form_round_trips() =>
        AnyAction.Sample(action => StageAction.Parse(action.ToString()) == action);

    [Theory]
    [InlineData("2F0", 2, ActionKind.Forward, 0)]
    [InlineData("1B3", 1, ActionKind.Backward, 3)]
    [InlineData("10I42", 10, ActionKind.InputGradient, 42)]
    [InlineData("0W7", 0, ActionKind.WeightGradient, 7)]
    [InlineData("3R1", 3, ActionKind.Recompute, 1)]
    [InlineData("2S", 2, ActionKind.ReduceScatter, StageAction.NoMicroBatch)]
    [InlineData("1G", 1, ActionKind.AllGather, StageAction.NoMicroBatch)]
    [InlineData("3A", 3, ActionKind.WeightGather, StageAction.NoMicroBatch)]
    [InlineData("0T", 0, ActionKind.TiedSum, StageAction.NoMicroBatch)]
    [InlineData("4N", 4, ActionKind.Norm, StageAction.NoMicroBatch)]
    [InlineData("0O", 0, ActionKind.Optimizer, StageAction.NoMicroBatch)]
    public void Letters_are_those_of_the_field(string text, int stage, ActionKind kind, int microBatch)
    {
        Assert.Equal(new StageAction(stage, kind, microBatch), StageAction.Parse(text));
        Assert.Equal(text, new StageAction(stage, kind, microBatch).ToString());
    }

    [Theory]
    [InlineData("")]
    [InlineData("F0")]
    [InlineData("2F")]
    [InlineData("2X0")]
    [InlineData("2f0")]
    [InlineData("02F0")]
    [InlineData("2F00")]
    [InlineData("2F-1")]
    [InlineData("2F 0")]
    [InlineData(" 2F0")]
    [InlineData("2F0x")]
    [InlineData("0O1")]
    [InlineData("2SEND_F0")]
    [InlineData("99999999999F0")]
    [InlineData("2F٣")]
    public void Anything_else_is_refused_and_quoted(string text)
    {
        var error = Assert.Throws<ScheduleException>(() => StageAction.Parse(text));
        Assert.Contains($"'{text}'", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Each_accepted_text_is_the_text_form_of_its_action() =>
        Gen.String[Gen.Char["0123FBIWRSGTNOA -"], 1, 5].Sample(text =>
            !StageAction.TryParse(text, out var action) || string.Equals(action.ToString(), text, StringComparison.Ordinal));
}
