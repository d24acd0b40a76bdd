using System.Runtime.InteropServices;
using Pipeline.Checkpoints;
using Pipeline.Stages;
using Pipeline.Tests.Checkpoints;
using Pipeline.Tests.Runs;
using Xunit;

namespace Pipeline.Tests.Stages.Replicas;

public sealed class LoadedResidualsTests : IDisposable
{
    private const int Length = 8;
    private static readonly string[] s_names = ["unit-1.from-0.at-0", "unit-1.from-1.at-0", "weights.head", "replica-1.head"];
    private readonly TemporaryFolder _folder = new();
    private readonly FolderCheckpointStore _store;

    public LoadedResidualsTests()
    {
        _store = new FolderCheckpointStore(_folder.Folder);
        TensorSource[] tensors = [.. s_names.Select(name => SampleCheckpoint.Source(ResidualStore.NameOf(name), TensorTypes.F32, [Length], step: 1))];
        _store.Commit(new(1, 0), SampleCheckpoint.Description, [_store.WriteTensors(new(1, 0), CheckpointFileName.Model(0, 1), tensors)]);
    }

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Of_a_checkpoint_a_rank_reads_what_it_asks_for_and_nothing_that_is_of_others()
    {
        // Whoever read it would find that its bytes are not those that were saved.
        Damage("unit-1.from-1.at-0");
        using ResidualStore store = new();
        store.Load(_store.Open(1, verify: false), _ => true);
        Assert.True(store.Holds("unit-1.from-0.at-0") && store.Holds("unit-1.from-1.at-0") && store.Holds("weights.head"));
        // What a replica has of its own is loaded as a stage's state.
        Assert.False(store.Holds("replica-1.head"));
        store.Adopt(new ResidualRange(1, 0, 0, Length), from => from == 0);
        Assert.Equal(Saved("unit-1.from-0.at-0"), MemoryMarshal.AsBytes(store.Of("unit-1.from-0.at-0", Length)).ToArray());
        using (var looked = store.Loaded("weights.head")) Assert.Equal(Saved("weights.head"), looked!.bytes.ToArray());
        Assert.Equal(Saved("weights.head"), MemoryMarshal.AsBytes(store.Of("weights.head", Length)).ToArray());
        Assert.Contains("has the hash", Assert.Throws<CheckpointException>(() => store.Of("unit-1.from-1.at-0", Length).Length).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void What_is_not_wanted_has_another_length_or_was_not_asked_for_in_time_is_zeros()
    {
        using ResidualStore store = new();
        store.Load(_store.Open(1, verify: false), name => ResidualStore.IsOf("unit-", name));
        Assert.False(store.Holds("weights.head"));
        Assert.Equal(new float[Length - 1], store.Of("unit-1.from-0.at-0", Length - 1).ToArray());
        store.Settle();
        Assert.Equal(new float[Length], store.Of("unit-1.from-1.at-0", Length).ToArray());
        // Nothing of the checkpoint is open any more.
        Directory.Delete(_folder.In("step-1"), recursive: true);
    }

    private static byte[] Saved(string name) => SampleCheckpoint.Expected(ResidualStore.NameOf(name), 1, 1, Length * sizeof(float));

    private void Damage(string name)
    {
        var path = Path.Combine(_folder.In("step-1"), CheckpointFileName.Model(0, 1));
        var bytes = File.ReadAllBytes(path);
        using (var reader = SafetensorsReader.Open(path)) bytes[reader.Header.DataStart + reader.Entry(ResidualStore.NameOf(name)).Start] ^= 0x10;
        File.WriteAllBytes(path, bytes);
    }
}
