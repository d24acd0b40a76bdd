using CsCheck;
using Pipeline.Schedules;
using Xunit;

namespace Pipeline.Tests.Schedules;

public sealed class ScheduleTextTests
{
    private const string Small = """
        # schedule name=1f1b mode=train micro-batches=2 ranks-of-stages=0,1 tied=0,1
        0F0,0F1,0B0,0B1,0T,0N,0O
        1F0,1B0,1F1,1B1,1T,1N,1O

        """;

    [Fact]
    public void Text_form_of_a_small_schedule_is_this()
    {
        var schedule = StepEndPass.Apply(new OneForwardOneBackward().Generate(new ScheduleShape(2, 2)), [0, 1]);
        Assert.Equal(Small, schedule.ToString());
        Assert.Equal(schedule, ScheduleText.Parse(Small));
    }

    [Fact]
    public void Text_form_round_trips() =>
        ScheduleSamples.Any.Sample(schedule =>
        {
            var text = schedule.ToString();
            var read = ScheduleText.Parse(text);
            return read.Equals(schedule) && string.Equals(read.ToString(), text, StringComparison.Ordinal);
        });

    [Fact]
    public void Comments_spaces_idle_cells_and_line_ends_of_other_systems_do_not_matter()
    {
        var text = Small.Replace("0F1,0B0", " 0F1 ,,, 0B0", StringComparison.Ordinal).Replace("\n1F0", "\n# the last stage\n1F0", StringComparison.Ordinal);
        Assert.Equal(ScheduleText.Parse(Small), ScheduleText.Parse(text.ReplaceLineEndings("\r\n")));
    }

    [Theory]
    [InlineData("", "must begin with '# schedule'")]
    [InlineData("0F0,0B0\n", "must begin with '# schedule'")]
    [InlineData("# schedule mode=train micro-batches=1 ranks-of-stages=0\n0F0,0B0\n", "lacks name=")]
    [InlineData("# schedule name=x mode=learn micro-batches=1 ranks-of-stages=0\n0F0,0B0\n", "mode=learn")]
    [InlineData("# schedule name=x mode=train micro-batches=-1 ranks-of-stages=0\n0F0,0B0\n", "micro-batches=-1")]
    [InlineData("# schedule name=x mode=train micro-batches=0 ranks-of-stages=0\n\n", "at least 1")]
    [InlineData("# schedule name=x mode=train micro-batches=1 ranks-of-stages=\n\n", "expected one rank per stage")]
    [InlineData("# schedule name=x mode=train micro-batches=1 ranks-of-stages=1\n0F0\n\n", "no stage on rank 0")]
    [InlineData("# schedule name=x mode=train micro-batches=1 ranks-of-stages=2147483647\n0F0\n", "2147483648 ranks")]
    [InlineData("# schedule name=x mode=train micro-batches=2147483647 ranks-of-stages=0\n0F0\n", "pairs")]
    [InlineData("# schedule name=x name=y mode=train micro-batches=1 ranks-of-stages=0\n0F0\n", "'name=y'")]
    [InlineData("# schedule name=x mode=train micro-batches=1 ranks-of-stages=0 colour=red\n0F0\n", "'colour=red'")]
    [InlineData("# schedule name=x mode=train micro-batches=1 ranks-of-stages=0\n0F0,0Q0\n", "Line 2: '0Q0'")]
    [InlineData("# schedule name=x mode=train micro-batches=1 ranks-of-stages=0\n0F0,0B1\n", "micro-batch 1, expected 0 to 0")]
    [InlineData("# schedule name=x mode=train micro-batches=1 ranks-of-stages=0\n0F0,3B0\n", "stage 3, expected 0 to 0")]
    [InlineData("# schedule name=x mode=train micro-batches=1 ranks-of-stages=0\n0F0,0B0\n0F0\n", "2 lines of actions")]
    [InlineData("# schedule name=x mode=train micro-batches=1 ranks-of-stages=0 tied=4\n0F0,0B0\n", "Tied stage 4")]
    public void Faults_are_named(string text, string expected) =>
        Assert.Contains(expected, Assert.Throws<ScheduleException>(() => ScheduleText.Parse(text)).Message, StringComparison.Ordinal);
}
