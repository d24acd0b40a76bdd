using Pipeline.Schedules;
using Xunit;

namespace Pipeline.Tests.Schedules;

public sealed class FieldCsvTests
{
    private const string Plain =
        """
        0F0,0F1,0F2,,0B0,0B1,0B2
        ,1F0,1B0,1F1,1B1,(1F2;1B2)OVERLAP_F_B
        """;

    private const string WithTransfers =
        """
        0F0,0SEND_F0,0F1,0SEND_F1,0RECV_B0,0B0,0RECV_B1,0B1
        1RECV_F0,1F0,1RECV_F1,1B0,1SEND_B0,1F1,1B1,1SEND_B1
        """;

    [Fact]
    public void A_table_of_computation_gives_its_actions_and_an_overlap_its_two()
    {
        var schedule = FieldCsv.Parse(Plain, "my table");
        Assert.Equal("csv-my-table", schedule.Name);
        Assert.Equal((2, 2, 3), (schedule.RankCount, schedule.StageCount, schedule.MicroBatchCount));
        Assert.Equal("1F0,1B0,1F1,1B1,1F2,1B2", string.Join(',', schedule.Actions[1]));
        Assert.Empty(ScheduleValidator.Validate(schedule));
    }

    [Fact]
    public void Transfers_are_checked_and_dropped()
    {
        var schedule = FieldCsv.Parse(WithTransfers, "t");
        Assert.Equal("0F0,0F1,0B0,0B1", string.Join(',', schedule.Actions[0]));
        Assert.Equal("1F0,1B0,1F1,1B1", string.Join(',', schedule.Actions[1]));
    }

    [Fact]
    public void Any_transfer_that_is_dropped_doubled_or_out_of_place_is_refused()
    {
        var rows = WithTransfers.Split('\n').Select(row => row.Split(',')).ToArray();
        for (var rank = 0; rank < rows.Length; rank++)
            for (var position = 0; position < rows[rank].Length; position++)
            {
                if (!rows[rank][position].Contains('_', StringComparison.Ordinal))
                    continue;
                var (row, cell) = (rows[rank], rows[rank][position]);
                Refused([.. row.Where((_, index) => index != position)]);
                Refused([.. row[..position], cell, .. row[position..]]);
                // Before its action where it sends, after it where it receives.
                var partner = cell.Contains("SEND", StringComparison.Ordinal) ? position - 1 : position + 1;
                if (cell is not "1RECV_F1")
                    Refused([.. row.Select((other, index) => index == position ? row[partner] : index == partner ? cell : other)]);

                void Refused(string[] mutated) => Assert.Throws<ScheduleException>(() =>
                    FieldCsv.Parse(string.Join('\n', rows.Select((other, index) => string.Join(',', index == rank ? mutated : other))), "t"));
            }
    }

    [Theory]
    [InlineData("0UNSHARD,0F0,0B0", "0UNSHARD is refused")]
    [InlineData("0F0,0B0,0REDUCE_GRAD0", "0REDUCE_GRAD0 is refused")]
    [InlineData("0F0,0X0", "Row 1, cell 2: '0X0' is not an action")]
    [InlineData("0F0,F1", "is not an action")]
    [InlineData("(0F0;0F1)OVERLAP_F_B,0B0,0B1", "Row 1, cell 1: '(0F0;0F1)OVERLAP_F_B' is not an action")]
    [InlineData("0F0,(0F1;0B0;0B1)OVERLAP_F_B", "Row 1, cell 2: '(0F1;0B0;0B1)OVERLAP_F_B' is not an action")]
    [InlineData("0F0,(0B0)OVERLAP_F_B", "is not an action")]
    [InlineData(",,", "has no action")]
    [InlineData("0F0,0B0\n0F1,0B1", "Stage 0 has actions in rows 1 and 2")]
    [InlineData("0F0,0B0\n2F0,2B0", "Stage 1 has no action")]
    [InlineData("0F0,1F0,0SEND_F0", "Row 1, cell 3: 0SEND_F0 has no counterpart")]
    [InlineData("0F0,0SEND_F0,0RECV_B0,0B0\n1F0,1B0,1SEND_B0", "Row 2, cell 1: 1RECV_F0 is missing")]
    [InlineData("0F0,,0RECV_B0,0B0\n1RECV_F0,1F0,1B0,1SEND_B0", "Row 1, cell 1: 0SEND_F0 is missing behind it")]
    [InlineData("0F0,,0SEND_F0,0SEND_F0,0RECV_B0,0B0\n1RECV_F0,1F0,1B0,1SEND_B0", "Row 1, cell 4: 0SEND_F0 stands there twice, first in cell 3")]
    [InlineData("0F0,0SEND_F0,0RECV_B0,0B0\n1RECV_F0,1F0,1SEND_B0,1B0", "Row 2, cell 3: 1SEND_B0 comes before the action that makes what it sends, in cell 4")]
    [InlineData("0F0,0SEND_F0,0RECV_B0,0B0\n1F0,1RECV_F0,1B0,1SEND_B0", "Row 2, cell 2: 1RECV_F0 comes after the action that needs it, in cell 1")]
    [InlineData("0F0,0SEND_F0,0RECV_B0,0B0,1SEND_B0\n1RECV_F0,1F0,1B0", "Row 1, cell 5: 1SEND_B0 stands in row 1, which does not hold stage 1")]
    public void What_cannot_be_read_is_named(string text, string expected) =>
        Assert.Contains(expected, Assert.Throws<ScheduleException>(() => FieldCsv.Parse(text, "t")).Message, StringComparison.Ordinal);

    /// <summary>Tables that PyTorch's own schedule classes wrote: with and without transfers they are the same valid schedule.</summary>
    [SkippableTheory]
    [InlineData("interleaved1f1b_p2_v2_m4")]
    [InlineData("loopedbfs_p2_v2_m4")]
    [InlineData("zbv_p2_m4")]
    [InlineData("interleavedzerobubble_p4_v2_m8")]
    public void Tables_made_by_pytorch_are_valid_and_alike_with_and_without_transfers(string name)
    {
        var folder = Environment.GetEnvironmentVariable("PIPELINE_TEST_DATA");
        Skip.If(folder is null, "PIPELINE_TEST_DATA is not set.");
        var plain = FieldCsv.Parse(File.ReadAllText(Path.Combine(folder!, "schedules", name + ".csv")), name);
        var lowered = FieldCsv.Parse(File.ReadAllText(Path.Combine(folder!, "schedules", name + ".comms.csv")), name);
        Assert.Equal(plain, lowered);
        Assert.Empty(ScheduleValidator.Validate(plain));
        Assert.Equal(plain, ScheduleText.Parse(plain.ToString()));
    }

    [SkippableFact]
    public void Interleaved_1f1b_is_the_one_that_pytorch_makes()
    {
        var folder = Environment.GetEnvironmentVariable("PIPELINE_TEST_DATA");
        Skip.If(folder is null, "PIPELINE_TEST_DATA is not set.");
        var theirs = FieldCsv.Parse(File.ReadAllText(Path.Combine(folder!, "schedules", "interleaved1f1b_p2_v2_m4.csv")), "t");
        var ours = new Interleaved().Generate(new ScheduleShape(2, 4, 2));
        for (var rank = 0; rank < 2; rank++)
            Assert.Equal<StageAction>(theirs.Actions[rank], ours.Actions[rank]);
    }
}
