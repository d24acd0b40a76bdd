using Pipeline.Coordinator;
using Pipeline.Nodes;
using Pipeline.Protocol;
using Xunit;

namespace Pipeline.Tests.Nodes;

/// <summary>The journal of a run: what was decided is found by the next leader, and only the last one to take it may write.</summary>
public sealed class RunJournalTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("pipeline-journal-").FullName;

    private string File => Path.Combine(_folder, "journal.jsonl");

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void A_run_that_begins_has_no_decision() => Assert.Null(RunJournal.Claim(File, "one").Last);

    [Fact]
    public void The_next_leader_finds_the_last_decision_whole()
    {
        var (journal, _) = RunJournal.Claim(File, "one");
        journal.Record(Entry(1));
        journal.Record(Entry(2));
        var last = RunJournal.Claim(File, "two").Last!;
        Assert.Equal(Entry(2).Generation, last.Generation);
        Assert.Equal(Entry(2).Nodes, last.Nodes);
        Assert.Equal(Entry(2).UnitCounts, last.UnitCounts);
        Assert.Equal(Entry(2).Schedule, last.Schedule);
        Assert.Equal((Entry(2).Run, Entry(2).ProtectedStep, Entry(2).IsStopWanted), (last.Run, last.ProtectedStep, last.IsStopWanted));
        Assert.Equal(Entry(2).Base.Copies, last.Base.Copies);
        Assert.Equal(Entry(2).Failures, last.Failures);
        Assert.Equal([(41L, "3,4,5")], last.Hangs!.Select(hang => (hang.Step, string.Join(',', hang.Units))));
    }

    [Fact]
    public void A_leader_that_was_succeeded_can_write_no_more()
    {
        var (first, _) = RunJournal.Claim(File, "one");
        first.Record(Entry(1));
        var (second, _) = RunJournal.Claim(File, "two");
        Assert.True(first.IsSuperseded);
        Assert.False(second.IsSuperseded);
        var refusal = Assert.Throws<JournalException>(() => first.Record(Entry(9)));
        Assert.Contains("is led by two now", refusal.Message, StringComparison.Ordinal);
        second.Record(Entry(2));
        Assert.Equal(new Generation(2), RunJournal.Last(File)!.Generation);
    }

    [Theory]
    [InlineData("{\"run\":{\"val")]
    [InlineData("{\"run\":{\"value\":7}}\n{\"")]
    [InlineData("garbage\n")]
    public void A_torn_end_is_passed_over_and_swallows_nothing(string torn)
    {
        var (journal, _) = RunJournal.Claim(File, "one");
        journal.Record(Entry(1));
        System.IO.File.AppendAllText(File, torn);
        Assert.Equal(new Generation(1), RunJournal.Last(File)!.Generation);
        journal.Record(Entry(2));
        Assert.Equal(new Generation(2), RunJournal.Last(File)!.Generation);
    }

    [Fact]
    public void A_run_that_is_started_again_has_no_decision_of_the_former_start_and_knows_where_its_ranks_hung()
    {
        var (former, _) = RunJournal.Claim(File, "one");
        former.Record(Entry(2));
        RunJournal.Restart(File);
        Assert.True(former.IsSuperseded);
        Assert.Null(RunJournal.Last(File));
        // Also to whoever takes it over before anything was decided, and where a decision says nothing of it.
        Assert.Null(RunJournal.Claim(File, "two").Last);
        var (third, none) = RunJournal.Claim(File, "three");
        Assert.Null(none);
        Assert.Equal(["41: 3,4,5"], Hangs());
        third.Record(Entry(3) with { Hangs = null });
        Assert.Equal(["41: 3,4,5"], Hangs());
        third.Record(Entry(4) with { Hangs = [new KnownHang(41, [3, 4, 5]), new KnownHang(50, [1])] });
        RunJournal.Restart(File);
        RunJournal.Restart(File);
        Assert.Equal(["41: 3,4,5", "50: 1"], Hangs());

        IEnumerable<string> Hangs() => RunJournal.Hangs(File).Select(hang => FormattableString.Invariant($"{hang.Step}: {string.Join(',', hang.Units)}"));
    }

    [Fact]
    public void A_run_that_is_started_again_without_hangs_begins_its_journal_anew()
    {
        RunJournal.Claim(File, "one").Journal.Record(Entry(1) with { Hangs = null });
        RunJournal.Restart(File);
        Assert.False(System.IO.File.Exists(File));
        RunJournal.Restart(File);
        Assert.Empty(RunJournal.Hangs(File));
    }

    [Fact]
    public void A_journal_that_was_removed_takes_nothing_more()
    {
        var (journal, _) = RunJournal.Claim(File, "one");
        System.IO.File.Delete(File);
        Assert.Throws<JournalException>(() => journal.Record(Entry(1)));
    }

    private static JournalEntry Entry(int generation)
    {
        NodeId here = new("akka.tcp://pipeline@127.0.0.1:4053", 7);
        CopySource copy = new(new CopyId(new RunId(ulong.MaxValue), Generation.First, 1, 40), new HolderPlace(here, "akka.tcp://pipeline@127.0.0.1:4053/user/node/copies", ""));
        return new JournalEntry(
            new RunId(ulong.MaxValue), new Generation(generation), Generation.First, [3, 4, 5], "1f1b,\"train\"\n0F0,0B0", [here, new NodeId("akka.tcp://pipeline@127.0.0.1:4054", -3)],
            new StartingPoint(StartKind.Copies, 40, [copy]), 35 + generation, IsStopWanted: generation > 1,
            Others: [new OtherReplicas(1, [12], "1f1b,\"train\"\n0F0")], MostPerNode: 2, Machines: [0, 1, 0], Failures: [new CountedFailure(new NonFiniteStep(41, 3), 1), new CountedFailure(new NonFiniteStep(44, null), 2)],
            Hangs: [new KnownHang(41, [3, 4, 5])]);
    }
}
