using System.Text.Json;
using Pipeline.Checkpoints;
using Pipeline.Tests.Runs;
using Xunit;

namespace Pipeline.Tests.Checkpoints;

public sealed class FolderCheckpointStoreTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly FolderCheckpointStore _store;

    public FolderCheckpointStoreTests() => _store = new FolderCheckpointStore(_folder.In("checkpoints"));

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void A_checkpoint_of_any_number_of_stages_reads_the_same()
    {
        for (var partCount = 1; partCount <= 4; partCount++)
        {
            SampleCheckpoint.Save(_store, partCount, partCount: partCount);
            using var reader = _store.Open(partCount);
            SampleCheckpoint.AssertHolds(reader, partCount);
        }
    }

    [Fact]
    public void Its_folder_holds_what_the_contract_names_and_nothing_else()
    {
        SampleCheckpoint.Save(_store, 40);
        Assert.Equal(["step-40"], Directory.EnumerateFileSystemEntries(_folder.In("checkpoints")).Select(Path.GetFileName));
        string[] expected =
        [
            "config.conf", "manifest.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json",
            "optimizer-00001-of-00002.safetensors", "optimizer-00002-of-00002.safetensors",
        ];
        Assert.Equal(expected, Directory.EnumerateFileSystemEntries(_folder.In("checkpoints/step-40")).Select(path => Path.GetFileName(path)!).Order(StringComparer.Ordinal));
    }

    [Fact]
    public void The_weight_index_is_in_the_form_that_other_libraries_read()
    {
        SampleCheckpoint.Save(_store, 40);
        using var index = JsonDocument.Parse(File.ReadAllText(_folder.In("checkpoints/step-40/model.safetensors.index.json")));
        Assert.Equal((16 * 8 + 3 * 5 + 8 * 16 + 1) * 4 + 7 * 2, index.RootElement.GetProperty("metadata").GetProperty("total_size").GetInt64());
        var map = index.RootElement.GetProperty("weight_map");
        Assert.Equal("model-00002-of-00002.safetensors", map.GetProperty("block.0.attention.weight").GetString());
        Assert.Equal(5, map.EnumerateObject().Count());
    }

    [Fact]
    public void An_empty_folder_has_no_checkpoint_and_says_so()
    {
        using var selection = new Selected(_store.OpenLatest());
        Assert.Null(selection.Value.Reader);
        Assert.Contains("none was saved", Assert.Throws<CheckpointException>(() => selection.Value.Require()).Message, StringComparison.Ordinal);
        Assert.Contains("none at all", Assert.Throws<CheckpointException>(() => _store.Open(3)).Message, StringComparison.Ordinal);
        Assert.Empty(_store.List());
    }

    [Fact]
    public void What_was_saved_after_a_step_is_removed_with_what_stepped_aside_for_it_and_the_rest_stays()
    {
        foreach (var step in new[] { 20, 40, 60 }) SampleCheckpoint.Save(_store, step);
        SampleCheckpoint.Save(_store, 60, attempt: 1, seed: 2);
        _store.Keep(60);
        _store.RemoveAfter(20);
        Assert.Equal([20], _store.List().Select(summary => summary.Step));
        using (var reader = _store.OpenLatest().Require()) SampleCheckpoint.AssertHolds(reader, 20);
        _store.RemoveAfter(20);
        new FolderCheckpointStore(_folder.In("none")).RemoveAfter(0);
        _store.RemoveAfter(0);
        Assert.Empty(_store.List());
    }

    [Fact]
    public void A_checkpoint_that_another_process_puts_in_the_place_of_one_that_was_to_be_removed_stays()
    {
        foreach (var step in new[] { 20, 40, 60 }) SampleCheckpoint.Save(_store, step);
        var asked = 0;
        _store.RemoveAfter(20, () =>
        {
            // Whoever removes has slept since it looked; its successor has saved the same step meanwhile.
            if (asked++ == 0) SampleCheckpoint.Save(new FolderCheckpointStore(_folder.In("checkpoints")), 60, attempt: 7, seed: 3);
            return true;
        });
        using var reader = _store.OpenLatest().Require();
        SampleCheckpoint.AssertHolds(reader, 60, seed: 3);
        Assert.DoesNotContain(_store.List(), summary => summary.Step == 40);
    }

    [Fact]
    public void Who_may_not_remove_any_longer_leaves_what_is_there()
    {
        foreach (var step in new[] { 20, 40, 60 }) SampleCheckpoint.Save(_store, step);
        var asked = 0;
        _store.RemoveAfter(20, () => asked++ == 0);
        Assert.Equal([40, 20], _store.List().Select(summary => summary.Step));
        _store.RemoveAfter(20, () => false);
        Assert.Equal([40, 20], _store.List().Select(summary => summary.Step));
    }

    [Fact]
    public void A_step_that_is_not_there_is_answered_with_those_that_are()
    {
        SampleCheckpoint.Save(_store, 20);
        SampleCheckpoint.Save(_store, 40);
        Assert.Contains("40, 20", Assert.Throws<CheckpointException>(() => _store.Open(30)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Before_the_commit_nothing_can_be_opened()
    {
        SampleCheckpoint.Save(_store, 20);
        _store.WriteTensors(new(40, 0), "model-00001-of-00001.safetensors", [SampleCheckpoint.Source("a", "F32", [4], 40)]);
        using var selection = new Selected(_store.OpenLatest());
        Assert.Equal(20, selection.Value.Require().Step);
        Assert.Equal([CheckpointState.Incomplete, CheckpointState.Complete], _store.List().Select(item => item.State));
    }

    [Fact]
    public void A_late_writer_of_an_older_attempt_changes_nothing()
    {
        var attempt = new SaveAttempt(40, 1);
        _store.WriteTensors(new(40, 0), CheckpointFileName.Model(0, 2), [SampleCheckpoint.Source("old", "F32", [4], 1)]);
        SampleCheckpoint.Save(_store, 40, attempt.Attempt);
        _store.WriteTensors(new(40, 0), CheckpointFileName.Model(0, 2), [SampleCheckpoint.Source("late", "F32", [400], 1)]);
        _store.WriteTensors(attempt, CheckpointFileName.Model(0, 2), [SampleCheckpoint.Source("later", "F32", [400], 1)]);
        using var reader = _store.Open(40);
        SampleCheckpoint.AssertHolds(reader, 40);
    }

    [Fact]
    public void Saving_a_step_again_replaces_it()
    {
        SampleCheckpoint.Save(_store, 40, attempt: 0, partCount: 2, seed: 1);
        SampleCheckpoint.Save(_store, 40, attempt: 1, partCount: 3, seed: 2);
        SampleCheckpoint.Save(_store, 40, attempt: 1, partCount: 1, seed: 3);
        using (var reader = _store.Open(40))
            SampleCheckpoint.AssertHolds(reader, 40, seed: 3);
        Assert.Equal(1, _store.Prune(1).LeftoverCount);
        Assert.Single(_store.List(verify: true));
    }

    [Fact]
    public void A_commit_without_all_its_files_is_refused()
    {
        var stored = _store.WriteTensors(new(40, 0), "model-00001-of-00001.safetensors", [SampleCheckpoint.Source("a", "F32", [4], 40)]);
        var elsewhere = stored with { Name = "model-00002-of-00002.safetensors", Tensors = [] };
        Assert.Throws<CheckpointException>(() => _store.Commit(new(40, 0), SampleCheckpoint.Description, [stored, elsewhere]));
        Assert.Throws<CheckpointException>(() => _store.Commit(new(40, 1), SampleCheckpoint.Description, [stored]));
        Assert.DoesNotContain(_store.List(), item => item.State == CheckpointState.Complete);
    }

    [Fact]
    public void Pruning_keeps_the_newest_and_removes_leftovers()
    {
        foreach (var step in new long[] { 10, 20, 30, 40 })
            SampleCheckpoint.Save(_store, step);
        _store.WriteText(new(30, 3), "config.conf", "torn");
        _store.WriteText(new(50, 0), "config.conf", "under way");
        Directory.CreateDirectory(_folder.In("checkpoints/step-5"));
        Directory.CreateDirectory(_folder.In("checkpoints/step-7.removing"));
        Directory.CreateDirectory(_folder.In("checkpoints/step-of-mine"));
        File.WriteAllText(_folder.In("checkpoints/notes.txt"), "mine");

        var report = _store.Prune(2);

        Assert.Equal([20L, 10L], report.Steps);
        Assert.Equal(3, report.LeftoverCount);
        string[] expected = ["notes.txt", "step-30", "step-40", "step-50.saving-0", "step-of-mine"];
        Assert.Equal(expected, Directory.EnumerateFileSystemEntries(_folder.In("checkpoints")).Select(path => Path.GetFileName(path)!).Order(StringComparer.Ordinal));
    }

    [Fact]
    public void Pruning_leaves_what_is_to_be_kept()
    {
        foreach (var step in new long[] { 1, 2, 3, 4 }) SampleCheckpoint.Save(_store, step);
        _store.Keep(2);
        Assert.Equal([1], _store.Prune(2).Steps);
        Assert.Equal([4, 3, 2], _store.List().Select(one => one.Step));
        Assert.Throws<CheckpointException>(() => _store.Keep(9));
    }

    [Fact]
    public void Pruning_never_removes_the_last_good_one()
    {
        foreach (var step in new long[] { 10, 20, 30, 40 })
            SampleCheckpoint.Save(_store, step);
        foreach (var step in new long[] { 30, 40 })
        {
            // The last byte: sizes and headers still agree.
            var path = _folder.In($"checkpoints/step-{step}/model-00001-of-00002.safetensors");
            var bytes = File.ReadAllBytes(path);
            bytes[^1] ^= 1;
            File.WriteAllBytes(path, bytes);
        }

        Assert.Equal([10L], _store.Prune(1).Steps);
        using var selection = new Selected(_store.OpenLatest());
        SampleCheckpoint.AssertHolds(selection.Value.Require(), 20);
        Assert.Equal([40L, 30L], selection.Value.Skipped.Select(item => item.Step));
        Assert.All(selection.Value.Skipped, item => Assert.Contains("Falls back to step 20", item.Sentence, StringComparison.Ordinal));
    }

    [Fact]
    public void Ranges_of_a_tensor_saved_in_slices_are_put_together()
    {
        var files = Enumerable.Range(0, 3).Select(part => _store.WriteTensors(new(1, 0), CheckpointFileName.Model(part, 3),
            [new("a", "U8", [part + 1, 2], (offset, span) => { for (var i = 0; i < span.Length; i++) span[i] = (byte)(part * 10 + offset + i); })])).ToList();
        var slices = files.Select((file, part) => new TensorSlice(file.Name, "a", part * (part + 1) / 2, part + 1, file.Tensors[0].Hash)).ToList();
        var manifest = CheckpointManifest.Of(1, SampleCheckpoint.Description, files) with { Tensors = [new LogicalTensor("a", "U8", [6, 2], slices)] };
        Assert.Null(ManifestValidator.FindFault(manifest));
        using var reader = new CheckpointReader(_folder.In("checkpoints/step-1.saving-0"), manifest);
        byte[] expected = [0, 1, 10, 11, 12, 13, 20, 21, 22, 23, 24, 25];
        for (var from = 0; from <= expected.Length; from++)
        {
            for (var to = from; to <= expected.Length; to++)
            {
                var bytes = new byte[to - from];
                reader.ReadInto("a", from, bytes);
                Assert.Equal(expected[from..to], bytes);
            }
        }

        var whole = new byte[12];
        reader.Read("a", (offset, chunk) => chunk.CopyTo(whole.AsSpan((int)offset)));
        Assert.Equal(expected, whole);
    }

    [Fact]
    public void A_folder_that_cannot_be_made_is_an_error_with_a_remedy()
    {
        File.WriteAllText(_folder.In("file"), "");
        var exception = Assert.Throws<CheckpointException>(() => SampleCheckpoint.Save(new FolderCheckpointStore(_folder.In("file/checkpoints")), 1));
        Assert.Contains("save to another folder", exception.Message, StringComparison.Ordinal);
    }

    private sealed record Selected(CheckpointSelection Value) : IDisposable
    {
        public void Dispose() => Value.Reader?.Dispose();
    }
}
