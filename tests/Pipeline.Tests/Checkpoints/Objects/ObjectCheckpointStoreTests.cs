using CsCheck;
using Pipeline.Checkpoints;
using Pipeline.Checkpoints.Objects;
using Pipeline.Tests.Runs;
using Xunit;

namespace Pipeline.Tests.Checkpoints.Objects;

/// <summary>The rules of the folder's store hold for objects: rows F15 to F17 of the fault matrix.</summary>
public sealed class ObjectCheckpointStoreTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly MemoryObjects _objects = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void What_is_saved_by_any_number_of_stages_reads_the_same_on_another_machine()
    {
        for (var partCount = 1; partCount <= 3; partCount++) SampleCheckpoint.Save(Store(), partCount, partCount: partCount);
        for (var step = 1; step <= 3; step++)
        {
            using var reader = Store().Open(step);
            SampleCheckpoint.AssertHolds(reader, step);
        }

        Assert.DoesNotContain(Directory.GetFiles(_folder.Folder, "*", SearchOption.AllDirectories), path => path.Contains("uploads", StringComparison.Ordinal));
        Assert.Contains("team/run-7/step-3/attempt-0/manifest.json", _objects.Keys);
        Assert.Contains("team/run-7/step-3/attempt-0/model.safetensors.index.json", _objects.Keys);
    }

    [Fact]
    public void What_was_saved_after_a_step_is_removed_and_the_rest_stays()
    {
        foreach (var step in new[] { 20, 40, 60 }) SampleCheckpoint.Save(Store(), step);
        SampleCheckpoint.Save(Store(), 60, attempt: 1);
        Store().RemoveAfter(20);
        Assert.Equal([20], Store().List().Select(summary => summary.Step));
        using (var reader = Latest(20)) SampleCheckpoint.AssertHolds(reader, 20);
    }

    [Fact]
    public void A_checkpoint_that_another_process_makes_of_a_step_whose_checkpoint_was_to_be_removed_stays()
    {
        foreach (var step in new[] { 20, 40, 60 }) SampleCheckpoint.Save(Store(), step);
        var asked = 0;
        Store().RemoveAfter(20, () =>
        {
            if (asked++ == 0) SampleCheckpoint.Save(Store(), 60, attempt: 7);
            return asked < 3;
        });
        Assert.Equal([60, 20], Store().List().Select(summary => summary.Step));
    }

    [Fact]
    public void A_save_that_dies_at_any_operation_leaves_a_loadable_checkpoint()
    {
        SampleCheckpoint.Save(Store(), 20);
        var before = _objects.ChangeCount;
        SampleCheckpoint.Save(Store(), 40);
        var changes = _objects.ChangeCount - before;
        Store().Abandon(new(40, 0));
        for (var survived = 0; survived < changes; survived++)
        {
            _objects.FailFrom = _objects.ChangeCount + survived;
            Assert.Throws<CheckpointException>(() => SampleCheckpoint.Save(Store(), 40));
            _objects.FailFrom = int.MaxValue;
            using (var reader = Latest(20)) SampleCheckpoint.AssertHolds(reader, 20);
            Assert.DoesNotContain(Store().List(verify: true), item => item.State == CheckpointState.Damaged);
            Store().Abandon(new(40, 0));
        }

        Assert.True(changes >= 6, $"{changes}");
    }

    [Fact]
    public void A_pruning_that_dies_at_any_operation_leaves_no_damage()
    {
        var died = true;
        for (var survived = 0; died; survived++)
        {
            MemoryObjects objects = new();
            var store = new ObjectCheckpointStore(objects, "run", _folder.In($"prune-{survived}"));
            foreach (var step in new long[] { 10, 20, 30 }) SampleCheckpoint.Save(store, step);
            objects.FailFrom = objects.ChangeCount + survived;
            died = Record.Exception(() => store.Prune(1)) is CheckpointException;
            objects.FailFrom = int.MaxValue;
            Assert.DoesNotContain(store.List(verify: true), item => item.State == CheckpointState.Damaged);
            using var reader = store.OpenLatest().Require();
            SampleCheckpoint.AssertHolds(reader, 30);
            if (!died) Assert.Equal([30L], store.List().Select(item => item.Step));
        }
    }

    [Fact]
    public void Damage_anywhere_is_named_and_the_one_before_is_used()
    {
        SampleCheckpoint.Save(Store(), 20);
        SampleCheckpoint.Save(Store(), 40);
        var keys = _objects.Keys.Where(key => key.Contains("step-40/", StringComparison.Ordinal)).ToArray();
        Gen.Select(Gen.Int[0, keys.Length - 1].Select(index => keys[index]), Gen.Double[0, 1], Gen.Int[0, 7]).Sample((key, place, bit) =>
        {
            _objects.Alter(key, bytes => Flipped(bytes, place, bit));
            var selection = Store("fresh-" + Guid.NewGuid()).OpenLatest();
            using (var reader = selection.Require()) Assert.Equal(20, reader.Step);
            Assert.Equal(40, Assert.Single(selection.Skipped).Step);
            _objects.Alter(key, bytes => Flipped(bytes, place, bit));
        }, iter: 60, threads: 1);
    }

    [Fact]
    public void A_missing_or_cut_off_object_is_named_without_fetching_the_others()
    {
        SampleCheckpoint.Save(Store(), 20);
        SampleCheckpoint.Save(Store(), 40);
        const string key = "team/run-7/step-40/attempt-0/optimizer-00001-of-00002.safetensors";
        _objects.Alter(key, bytes => bytes[..^1]);
        Assert.Contains("optimizer-00001-of-00002.safetensors", Assert.Single(Store().List(), item => item.State == CheckpointState.Damaged).Problem, StringComparison.Ordinal);
        _objects.Lose(key);
        Assert.Contains("missing", Assert.Single(Store().List(), item => item.State == CheckpointState.Damaged).Problem, StringComparison.Ordinal);
    }

    [Fact]
    public void A_local_copy_that_was_damaged_is_fetched_again()
    {
        SampleCheckpoint.Save(Store(), 40);
        using (Latest(40))
        {
        }

        var copy = Directory.GetFiles(_folder.Folder, "model-00001-of-00002.safetensors", SearchOption.AllDirectories).Single();
        File.WriteAllBytes(copy, Flipped(File.ReadAllBytes(copy), 1, 0));
        using var reader = Latest(40);
        SampleCheckpoint.AssertHolds(reader, 40);
    }

    [Fact]
    public void A_later_attempt_replaces_an_earlier_one_and_a_late_writer_changes_nothing()
    {
        SampleCheckpoint.Save(Store(), 40, attempt: 1, seed: 1);
        SampleCheckpoint.Save(Store(), 40, attempt: 2, seed: 2);
        Store().WriteTensors(new(40, 0), CheckpointFileName.Model(0, 2), [SampleCheckpoint.Source("late", TensorTypes.F32, [400], 1)]);
        using (var reader = Latest(40)) SampleCheckpoint.AssertHolds(reader, 40, seed: 2);
        Assert.Equal(2, Store().Prune(1).LeftoverCount);
        Assert.Single(Store().List(verify: true));
    }

    [Fact]
    public void A_commit_without_all_its_files_is_refused()
    {
        var store = Store();
        var stored = store.WriteTensors(new(40, 0), CheckpointFileName.Model(0, 2), [SampleCheckpoint.Source("a", TensorTypes.F32, [4], 40)]);
        var elsewhere = stored with { Name = CheckpointFileName.Model(1, 2), Tensors = [] };
        Assert.Contains("it is not there", Assert.Throws<CheckpointException>(() => store.Commit(new(40, 0), SampleCheckpoint.Description, [stored, elsewhere])).Message, StringComparison.Ordinal);
        Assert.DoesNotContain(store.List(), item => item.State == CheckpointState.Complete);
    }

    [Fact]
    public void Objects_of_others_under_the_same_prefix_are_left_alone()
    {
        foreach (var key in new[] { "team/run-7/step-40/readme", "team/run-7/step-x/attempt-0/a", "team/run-7/step-40/attempt-00/a", "team/run-70/step-40/attempt-0/manifest.json", "team/run-7/step-40/attempt-0/../../x" })
            _objects.Put(key, new MemoryStream([1]));
        SampleCheckpoint.Save(Store(), 50);
        Assert.Equal([50L], Store().List().Select(item => item.Step));
        Store().Prune(1);
        Assert.Contains("team/run-70/step-40/attempt-0/manifest.json", _objects.Keys);
        Assert.Contains("team/run-7/step-40/readme", _objects.Keys);
    }

    private static byte[] Flipped(byte[] bytes, double place, int bit)
    {
        bytes[(int)(place * (bytes.Length - 1))] ^= (byte)(1 << bit);
        return bytes;
    }

    private CheckpointReader Latest(long step)
    {
        var reader = Store().OpenLatest().Require();
        Assert.Equal(step, reader.Step);
        return reader;
    }

    private ObjectCheckpointStore Store(string machine = "machine") => new(_objects, "team/run-7", _folder.In(machine));
}
