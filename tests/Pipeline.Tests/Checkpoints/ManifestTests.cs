using System.Text;
using CsCheck;
using Pipeline.Checkpoints;
using Xunit;

namespace Pipeline.Tests.Checkpoints;

public sealed class ManifestTests
{
    private static readonly string s_hash = ContentHash.Of("x"u8);

    [Fact]
    public void A_manifest_is_read_back_as_it_was_written()
    {
        var manifest = Sample();
        var read = ManifestText.Read(ManifestText.Write(manifest), "manifest.json");
        Assert.Equal(ManifestText.Write(manifest), ManifestText.Write(read));
        Assert.Equal(40, read.Step);
        Assert.Equal("2", read.Description.Model["layers"]);
        Assert.Equal(new DataPosition(40, 320, 40_960), read.Description.DataPosition);
        Assert.Equal([3L, 5L], read.Tensors[0].Shape);
        Assert.Equal(manifest.Files, read.Files);
    }

    [Fact]
    public void Every_flipped_bit_and_every_truncation_is_found()
    {
        var text = ManifestText.Write(Sample());
        for (var bit = 0; bit < text.Length * 8; bit++)
        {
            text[bit / 8] ^= (byte)(1 << (bit % 8));
            Assert.Throws<CheckpointException>(() => ManifestText.Read(text, "manifest.json"));
            text[bit / 8] ^= (byte)(1 << (bit % 8));
        }

        for (var length = 0; length < text.Length; length++)
            Assert.Throws<CheckpointException>(() => ManifestText.Read(text.AsSpan(0, length), "manifest.json"));
    }

    [Theory]
    [InlineData("../../etc/passwd")]
    [InlineData("..")]
    [InlineData("/etc/passwd")]
    [InlineData("a/b.safetensors")]
    [InlineData("a\\b.safetensors")]
    [InlineData("C:x.safetensors")]
    [InlineData(".hidden.safetensors")]
    [InlineData("-rf.safetensors")]
    [InlineData("nul\u0000.safetensors")]
    [InlineData("")]
    [InlineData("manifest.json")]
    [InlineData("MANIFEST.json")]
    public void A_file_name_that_is_not_plain_is_refused(string name)
    {
        var manifest = Sample() with { Files = [new CheckpointFile(name, 1, s_hash)], Tensors = [] };
        Assert.Throws<CheckpointException>(() => ManifestText.Read(ManifestText.Write(manifest), "manifest.json"));
    }

    [Fact]
    public void Tensors_that_contradict_themselves_are_refused()
    {
        LogicalTensor Tensor(long[] shape, params (long Start, long Count)[] slices) =>
            new("a", "F32", shape, [.. slices.Select(slice => new TensorSlice("model-00001-of-00001.safetensors", "a", slice.Start, slice.Count, s_hash))]);

        LogicalTensor[] bad =
        [
            Tensor([4], (0, 3)), Tensor([4], (0, 5)), Tensor([4], (1, 3)), Tensor([4], (0, 2), (3, 1)), Tensor([4], (0, 3), (2, 2)), Tensor([4]),
            Tensor([-1], (0, -1)), Tensor([long.MaxValue, 4], (0, long.MaxValue)), Tensor([], (0, 0)), Tensor([4], (0, long.MaxValue), (4, long.MaxValue)),
            Tensor([4], (0, 4)) with { DType = "complex" },
            Tensor([4], (0, 4)) with { Slices = [new TensorSlice("elsewhere.safetensors", "a", 0, 4, s_hash)] },
            Tensor([4], (0, 4)) with { Slices = [new TensorSlice("manifest.json", "a", 0, 4, s_hash)] },
            Tensor([4], (0, 4)) with { Slices = [new TensorSlice("model-00001-of-00001.safetensors", "a", 0, 4, "xyz")] },
            Tensor([4], (0, 4)) with { Slices = [null!] },
            null!,
        ];
        foreach (var tensor in bad)
            Assert.Throws<CheckpointException>(() => ManifestText.Read(ManifestText.Write(Sample() with { Tensors = [tensor] }), "manifest.json"));
        ManifestText.Read(ManifestText.Write(Sample() with { Tensors = [Tensor([4, 2], (0, 1), (1, 3))] }), "manifest.json");
    }

    [Fact]
    public void Another_version_is_refused_with_both_named()
    {
        var exception = Assert.Throws<CheckpointException>(() => ManifestText.Read(ManifestText.Write(Sample() with { Version = 2 }), "manifest.json"));
        Assert.Contains("version 2", exception.Message, StringComparison.Ordinal);
        Assert.Contains("version 1", exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_mutated_manifest_with_a_fitting_hash_is_valid_or_refused()
    {
        var valid = ManifestText.Write(Sample());
        var openByteCount = valid.Length - ",\n  \"manifest_hash\": \"\"\n}\n".Length - ContentHash.DigitCount;
        Gen.Select(Gen.Int[0, openByteCount - 1], Gen.Byte).Array[1, 3].Sample(changes =>
        {
            var open = valid[..openByteCount];
            foreach (var (position, value) in changes)
                open[position] = value;
            byte[] mutant = [.. open, .. Encoding.ASCII.GetBytes($",\n  \"manifest_hash\": \"{ContentHash.Of(open)}\"\n}}\n")];
            try
            {
                Assert.Null(ManifestValidator.FindFault(ManifestText.Read(mutant, "manifest.json")));
            }
            catch (CheckpointException exception)
            {
                Assert.Contains("manifest.json", exception.Message, StringComparison.Ordinal);
            }
        }, iter: 10_000);
    }

    private static CheckpointManifest Sample() => CheckpointManifest.Of(40, SampleCheckpoint.Description,
    [
        new StoredFile("model-00001-of-00001.safetensors", 123, s_hash, [new StoredTensor("a", "F32", [3, 5], s_hash), new StoredTensor("b", "F32", [], s_hash)]),
        new StoredFile("config.conf", 5, s_hash, []),
    ]);
}
