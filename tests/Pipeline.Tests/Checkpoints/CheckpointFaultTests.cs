using Pipeline.Checkpoints;
using Pipeline.Tests.Runs;
using Xunit;

namespace Pipeline.Tests.Checkpoints;

/// <summary>Saves are made to fail at every single operation on the disk; whatever happens, a loadable checkpoint remains.</summary>
public sealed class CheckpointFaultTests
{
    private const int NoSpaceLeft = 28;

    private static IOException FullDisk() => new("No space left on device", NoSpaceLeft);

    [Fact]
    public void A_full_disk_at_any_operation_of_a_save_leaves_the_one_before() => AtEveryOperation(
        store => SampleCheckpoint.Save(store, 20),
        (store, _) => SampleCheckpoint.Save(store, 40),
        FullDisk,
        (store, isDone) =>
        {
            using var reader = store.OpenLatest().Require();
            SampleCheckpoint.AssertHolds(reader, isDone ? 40 : reader.Step);
            Assert.Contains(reader.Step, new long[] { 20, 40 });
        });

    [Fact]
    public void Saving_a_step_again_never_loses_it() => AtEveryOperation(
        store => SampleCheckpoint.Save(store, 40, attempt: 0, seed: 1),
        (store, _) => SampleCheckpoint.Save(store, 40, attempt: 1, partCount: 3, seed: 2),
        FullDisk,
        (store, isDone) =>
        {
            using var reader = store.OpenLatest().Require();
            var isNew = reader.Manifest.Files.Any(file => file.Name.Contains("of-00003", StringComparison.Ordinal));
            Assert.True(isNew || !isDone);
            SampleCheckpoint.AssertHolds(reader, 40, isNew ? 2 : 1);
        });

    [Fact]
    public void A_pruning_that_fails_anywhere_leaves_the_newest() => AtEveryOperation(
        store =>
        {
            for (var step = 1; step <= 4; step++)
                SampleCheckpoint.Save(store, step);
            SampleCheckpoint.Save(store, 4, attempt: 1);
            store.WriteText(new(3, 5), "config.conf", "torn");
        },
        (store, _) => store.Prune(1),
        () => new UnauthorizedAccessException("Access to the path is denied."),
        (store, _) =>
        {
            using var reader = store.OpenLatest().Require();
            SampleCheckpoint.AssertHolds(reader, 4);
        });

    [Fact]
    public void A_loss_of_power_at_any_operation_leaves_a_loadable_checkpoint()
    {
        for (var lostRenameCount = 0; lostRenameCount <= 3; lostRenameCount++)
        {
            var lost = lostRenameCount;
            AtEveryOperation(
                store => SampleCheckpoint.Save(store, 20),
                (store, _) => SampleCheckpoint.Save(store, 40),
                FullDisk,
                (store, isDone) =>
                {
                    using var reader = store.OpenLatest().Require();
                    // What commit has acknowledged survives.
                    SampleCheckpoint.AssertHolds(reader, isDone ? 40 : reader.Step);
                },
                files => files.LosePower(lost));
        }
    }

    [Fact]
    public void After_a_failed_save_another_attempt_succeeds_and_pruning_cleans_up() => AtEveryOperation(
        store => SampleCheckpoint.Save(store, 20),
        (store, _) => SampleCheckpoint.Save(store, 40),
        FullDisk,
        (store, _) =>
        {
            SampleCheckpoint.Save(store, 40, attempt: 1, seed: 5);
            store.Prune(1);
            using var reader = store.OpenLatest().Require();
            SampleCheckpoint.AssertHolds(reader, 40, seed: 5);
            Assert.Equal("step-40", Path.GetFileName(Assert.Single(store.List()).Location));
            Assert.DoesNotContain(Directory.EnumerateFiles(reader.Folder), path => path.EndsWith(".part", StringComparison.Ordinal));
        });

    [Fact]
    public void An_abandoned_attempt_leaves_nothing()
    {
        using var folder = new TemporaryFolder();
        var store = new FolderCheckpointStore(folder.Folder);
        store.WriteText(new(40, 0), "config.conf", "x");
        store.Abandon(new(40, 0));
        store.Abandon(new(40, 0));
        Assert.Empty(Directory.EnumerateFileSystemEntries(folder.Folder));
    }

    [Fact]
    public void The_error_of_a_full_disk_and_of_a_missing_right_says_what_to_do()
    {
        using var folder = new TemporaryFolder();
        var full = Assert.Throws<CheckpointException>(() => SampleCheckpoint.Save(new FolderCheckpointStore(folder.Folder, new FaultyFiles(3, FullDisk)), 1));
        Assert.Contains("The disk is full: free some space", full.Message, StringComparison.Ordinal);
        Assert.Contains("step-1.saving-0", full.Message, StringComparison.Ordinal);
        Assert.Contains("saved before are untouched", full.Message, StringComparison.Ordinal);
        var denied = Assert.Throws<CheckpointException>(() =>
            SampleCheckpoint.Save(new FolderCheckpointStore(folder.Folder, new FaultyFiles(0, () => new UnauthorizedAccessException("Access denied."))), 1));
        Assert.Contains("write permission", denied.Message, StringComparison.Ordinal);
    }

    private static void AtEveryOperation(
        Action<FolderCheckpointStore> prepare,
        Action<FolderCheckpointStore, FaultyFiles> act,
        Func<Exception> fault,
        Action<FolderCheckpointStore, bool> assert,
        Action<FaultyFiles>? afterwards = null)
    {
        var isDone = false;
        for (var failAt = 0; !isDone; failAt++)
        {
            using var folder = new TemporaryFolder();
            var sound = new FolderCheckpointStore(folder.Folder, new FaultyFiles(int.MaxValue, fault));
            prepare(sound);
            var files = new FaultyFiles(failAt, fault);
            var faulty = new FolderCheckpointStore(folder.Folder, files);
            var exception = Record.Exception(() => act(faulty, files));
            isDone = exception is null;
            if (!isDone)
                Assert.IsType<CheckpointException>(exception);
            Assert.Equal(isDone, files.OperationCount <= failAt);
            afterwards?.Invoke(files);
            assert(sound, isDone);
        }
    }
}
