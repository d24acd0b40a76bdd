using CsCheck;
using Pipeline.Checkpoints;
using Pipeline.Tests.Runs;
using Xunit;

namespace Pipeline.Tests.Checkpoints;

public sealed class DamagedCheckpointTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly FolderCheckpointStore _store;

    public DamagedCheckpointTests()
    {
        _store = new FolderCheckpointStore(_folder.Folder);
        SampleCheckpoint.Save(_store, 20);
        SampleCheckpoint.Save(_store, 40);
    }

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void A_flipped_bit_anywhere_is_named_and_the_one_before_is_used()
    {
        Gen.Select(Gen.OneOf(FilesOf(40)), Gen.Double[0, 1], Gen.Int[0, 7]).Sample((path, place, bit) => WithChanged(path, bytes =>
        {
            bytes[(int)(place * (bytes.Length - 1))] ^= (byte)(1 << bit);
            return bytes;
        }, AssertFallsBack), iter: 300, threads: 1);
    }

    [Fact]
    public void A_file_cut_off_anywhere_is_named_and_the_one_before_is_used()
    {
        Gen.Select(Gen.OneOf(FilesOf(40)), Gen.Double[0, 1]).Sample(
            (path, place) => WithChanged(path, bytes => bytes[..(int)(place * (bytes.Length - 1))], AssertFallsBack), iter: 150, threads: 1);
    }

    [Fact]
    public void A_file_that_grew_is_named() => WithChanged(FilesOf(40)[0], bytes => [.. bytes, 0], AssertFallsBack);

    [Fact]
    public void A_missing_file_is_named_and_the_one_before_is_used()
    {
        foreach (var path in FilesOf(40).Where(path => !path.EndsWith("manifest.json", StringComparison.Ordinal)))
        {
            var bytes = File.ReadAllBytes(path);
            File.Delete(path);
            AssertFallsBack(path);
            File.WriteAllBytes(path, bytes);
        }

        File.Delete(Path.Combine(_folder.Folder, "step-40", "manifest.json"));
        AssertFallsBack("manifest.json");
    }

    [Fact]
    public void A_damaged_weight_is_named_by_its_tensor()
    {
        var path = Path.Combine(_folder.Folder, "step-40", "model-00001-of-00002.safetensors");
        WithChanged(path, bytes =>
        {
            using var reader = SafetensorsReader.Open(Path.Combine(_folder.Folder, "step-20", "model-00001-of-00002.safetensors"));
            bytes[reader.Header.DataStart + reader.Entry("head.scale").Start] ^= 0x10;
            return bytes;
        }, _ => Assert.Contains("tensor 'head.scale' has the hash", Assert.Throws<CheckpointException>(() => _store.Open(40)).Message, StringComparison.Ordinal));
    }

    [Fact]
    public void Shards_swapped_between_two_steps_are_named()
    {
        var (a, b) = (Path.Combine(_folder.Folder, "step-20", "model-00001-of-00002.safetensors"), Path.Combine(_folder.Folder, "step-40", "model-00001-of-00002.safetensors"));
        var (bytesA, bytesB) = (File.ReadAllBytes(a), File.ReadAllBytes(b));
        File.WriteAllBytes(a, bytesB);
        File.WriteAllBytes(b, bytesA);
        foreach (var verify in new[] { true, false })
        {
            var selection = _store.OpenLatest(verify);
            Assert.Null(selection.Reader);
            Assert.Equal(2, selection.Skipped.Count);
            Assert.Contains("was written for step 20", selection.Skipped[0].Sentence, StringComparison.Ordinal);
            Assert.Contains("no older one", Assert.Throws<CheckpointException>(selection.Require).Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Manifests_swapped_between_two_steps_are_named()
    {
        File.Copy(Path.Combine(_folder.Folder, "step-20", "manifest.json"), Path.Combine(_folder.Folder, "step-40", "manifest.json"), overwrite: true);
        Assert.Contains("manifest of step 20", Assert.Throws<CheckpointException>(() => _store.Open(40)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Tensors_swapped_within_a_checkpoint_are_found()
    {
        // Two parts of equal layout: only the names in the header tell them apart, so change those with their data left in place.
        var path = Path.Combine(_folder.Folder, "step-40", "optimizer-00002-of-00002.safetensors");
        var other = Path.Combine(_folder.Folder, "step-40", "optimizer-00001-of-00002.safetensors");
        WithChanged(path, _ => File.ReadAllBytes(other), AssertFallsBack);
    }

    [Fact]
    public void Reading_finds_what_was_altered_after_opening()
    {
        var path = Path.Combine(_folder.Folder, "step-40", "model-00001-of-00002.safetensors");
        using var reader = _store.Open(40);
        using (var stream = new FileStream(path, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite))
        {
            stream.Seek(-1, SeekOrigin.End);
            var last = stream.ReadByte();
            stream.Seek(-1, SeekOrigin.End);
            stream.WriteByte((byte)~last);
        }

        Assert.Throws<CheckpointException>(() => SampleCheckpoint.AssertHolds(reader, 40));
    }

    [SkippableTheory]
    [InlineData("model-00001-of-00002.safetensors")]
    [InlineData("manifest.json")]
    public void A_symbolic_link_is_refused(string name)
    {
        Skip.If(OperatingSystem.IsWindows(), "Links need a privilege on Windows.");
        var path = Path.Combine(_folder.Folder, "step-40", name);
        File.Move(path, path + ".target");
        File.CreateSymbolicLink(path, path + ".target");
        AssertFallsBack(path);
    }

    [SkippableFact]
    public void A_checkpoint_folder_that_is_a_link_is_refused()
    {
        Skip.If(OperatingSystem.IsWindows(), "Links need a privilege on Windows.");
        var elsewhere = Path.Combine(_folder.Folder, "elsewhere");
        Directory.Move(Path.Combine(_folder.Folder, "step-40"), elsewhere);
        Directory.CreateSymbolicLink(Path.Combine(_folder.Folder, "step-40"), elsewhere);
        AssertFallsBack("step-40");
    }

    private void AssertFallsBack(string path)
    {
        var selection = _store.OpenLatest();
        using var reader = selection.Require();
        SampleCheckpoint.AssertHolds(reader, 20);
        var skipped = Assert.Single(selection.Skipped);
        Assert.Equal(40, skipped.Step);
        Assert.Contains(Path.GetFileName(path), skipped.Sentence, StringComparison.Ordinal);
        Assert.EndsWith("Falls back to step 20.", skipped.Sentence, StringComparison.Ordinal);
        Assert.NotEqual(CheckpointState.Complete, _store.List(verify: true)[0].State);
        Assert.Throws<CheckpointException>(() => _store.Open(40));
    }

    private string[] FilesOf(long step) => [.. Directory.EnumerateFiles(Path.Combine(_folder.Folder, $"step-{step}")).Order(StringComparer.Ordinal)];

    private static void WithChanged(string path, Func<byte[], byte[]> change, Action<string> assert)
    {
        var original = File.ReadAllBytes(path);
        File.WriteAllBytes(path, change((byte[])original.Clone()));
        assert(path);
        File.WriteAllBytes(path, original);
    }
}
