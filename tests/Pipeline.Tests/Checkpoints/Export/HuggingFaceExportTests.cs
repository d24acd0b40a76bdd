using System.Text.Json;
using Pipeline.Checkpoints;
using Pipeline.Checkpoints.Export;
using Pipeline.Tests.Runs;
using Xunit;

namespace Pipeline.Tests.Checkpoints.Export;

public sealed class HuggingFaceExportTests : IDisposable
{
    private static readonly ExportModel Llama = new(2, 8, 4, 2, 12, 16, 10)
    {
        IsTied = false, HasBias = false, HasRmsNorm = true, HasRope = true, HasSwiGlu = true, NormEpsilon = 1e-5, RopeBase = 10_000,
    };

    private static readonly ExportModel Gpt = new(2, 8, 4, 4, 12, 16, 10)
    {
        IsTied = true, HasBias = false, HasRmsNorm = false, HasRope = false, HasSwiGlu = false, NormEpsilon = 1e-5, RopeBase = 10_000,
    };

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void A_llama_has_its_names_and_each_row_of_the_joint_matrices_in_its_place()
    {
        using var reader = Saved(Llama);
        var report = HuggingFaceExport.Write(reader, Llama, _folder.In("out"), long.MaxValue);
        Assert.Equal("LlamaForCausalLM", report.Architecture);
        var exported = Read("out");
        string[] block =
        [
            "input_layernorm.weight", "mlp.down_proj.weight", "mlp.gate_proj.weight", "mlp.up_proj.weight", "post_attention_layernorm.weight",
            "self_attn.k_proj.weight", "self_attn.o_proj.weight", "self_attn.q_proj.weight", "self_attn.v_proj.weight",
        ];
        var expected = block.SelectMany(name => new[] { $"model.layers.0.{name}", $"model.layers.1.{name}" }).Concat(["lm_head.weight", "model.embed_tokens.weight", "model.norm.weight"]);
        Assert.Equal(expected.Order(StringComparer.Ordinal), exported.Keys.Order(StringComparer.Ordinal));
        Assert.Equal([8L, 8L], exported["model.layers.1.self_attn.q_proj.weight"].Shape);
        Assert.Equal([4L, 8L], exported["model.layers.1.self_attn.k_proj.weight"].Shape);
        float[] joint = [.. Values(exported, "model.layers.1.self_attn.q_proj.weight"), .. Values(exported, "model.layers.1.self_attn.k_proj.weight"), .. Values(exported, "model.layers.1.self_attn.v_proj.weight")];
        Assert.Equal(Stored(reader, "layers.1.attention.qkv.weight"), joint);
        float[] gated = [.. Values(exported, "model.layers.0.mlp.gate_proj.weight"), .. Values(exported, "model.layers.0.mlp.up_proj.weight")];
        Assert.Equal(Stored(reader, "layers.0.mlp.up.weight"), gated);
    }

    [Fact]
    public void A_gpt_has_transposed_matrices_and_zeros_for_biases()
    {
        using var reader = Saved(Gpt);
        Assert.Equal("GPT2LMHeadModel", HuggingFaceExport.Write(reader, Gpt, _folder.In("out"), long.MaxValue).Architecture);
        var exported = Read("out");
        Assert.Equal(2 + 2 * 12 + 2, exported.Count);
        Assert.DoesNotContain("lm_head.weight", exported.Keys);
        Assert.Equal([8L, 24L], exported["transformer.h.0.attn.c_attn.weight"].Shape);
        var (own, theirs) = (Stored(reader, "layers.0.attention.qkv.weight"), Values(exported, "transformer.h.0.attn.c_attn.weight"));
        for (var row = 0; row < 24; row++)
        {
            for (var column = 0; column < 8; column++) Assert.Equal(own[row * 8 + column], theirs[column * 24 + row]);
        }

        Assert.All(Values(exported, "transformer.h.1.mlp.c_fc.bias"), value => Assert.Equal(0, value));
        Assert.Equal([12L], exported["transformer.h.1.mlp.c_fc.bias"].Shape);
    }

    [Fact]
    public void The_index_names_every_tensor_and_shards_keep_to_their_size()
    {
        using var reader = Saved(Llama);
        var report = HuggingFaceExport.Write(reader, Llama, _folder.In("out"), 600);
        Assert.True(report.Files.Count > 3);
        using var index = JsonDocument.Parse(File.ReadAllText(_folder.In("out/model.safetensors.index.json")));
        Assert.Equal(report.ByteCount, index.RootElement.GetProperty("metadata").GetProperty("total_size").GetInt64());
        var map = index.RootElement.GetProperty("weight_map").EnumerateObject().ToDictionary(pair => pair.Name, pair => pair.Value.GetString()!, StringComparer.Ordinal);
        Assert.Equal(Read("out").Keys.Order(StringComparer.Ordinal), map.Keys.Order(StringComparer.Ordinal));
        foreach (var (tensor, file) in map)
        {
            using var shard = SafetensorsReader.Open(_folder.In("out/" + file));
            Assert.True(shard.Entry(tensor).ByteCount >= 0);
            Assert.True(shard.Header.Entries.Count == 1 || shard.Header.Entries.Sum(entry => entry.ByteCount) <= 600);
        }

        using var configuration = JsonDocument.Parse(File.ReadAllText(_folder.In("out/config.json")));
        Assert.Equal(2, configuration.RootElement.GetProperty("num_key_value_heads").GetInt32());
        Assert.Equal("llama", configuration.RootElement.GetProperty("model_type").GetString());
        Assert.False(configuration.RootElement.GetProperty("tie_word_embeddings").GetBoolean());
    }

    [Fact]
    public void What_no_architecture_is_and_a_folder_that_holds_something_are_refused()
    {
        using var reader = Saved(Llama);
        Assert.Contains("expected norm = rms", Assert.Throws<CheckpointException>(() => HuggingFaceExport.Write(reader, Llama with { HasSwiGlu = false }, _folder.In("out"), 1)).Message, StringComparison.Ordinal);
        Assert.False(Directory.Exists(_folder.In("out")));
        File.WriteAllText(_folder.In("mine.txt"), "mine");
        Assert.Contains("not empty", Assert.Throws<CheckpointException>(() => HuggingFaceExport.Write(reader, Llama, _folder.Folder, 1)).Message, StringComparison.Ordinal);
        Assert.Contains("lacks the tensor", Assert.Throws<CheckpointException>(() => HuggingFaceExport.Write(reader, Llama with { Layers = 3 }, _folder.In("other"), long.MaxValue)).Message, StringComparison.Ordinal);
    }

    private CheckpointReader Saved(ExportModel model)
    {
        var joint = model.Width + 2L * model.KeyWidth;
        var up = model.HasSwiGlu ? 2L * model.HiddenWidth : model.HiddenWidth;
        List<TensorSource> tensors = [Source("embedding.tokens.weight", model.Vocabulary, model.Width), Source("head.norm.weight", model.Width)];
        if (!model.HasRope) tensors.Add(Source("embedding.positions.weight", model.Context, model.Width));
        if (!model.IsTied) tensors.Add(Source("head.output.weight", model.Vocabulary, model.Width));
        for (var layer = 0; layer < model.Layers; layer++)
        {
            tensors.Add(Source($"layers.{layer}.attention.norm.weight", model.Width));
            tensors.Add(Source($"layers.{layer}.attention.qkv.weight", joint, model.Width));
            tensors.Add(Source($"layers.{layer}.attention.output.weight", model.Width, model.Width));
            tensors.Add(Source($"layers.{layer}.mlp.norm.weight", model.Width));
            tensors.Add(Source($"layers.{layer}.mlp.up.weight", up, model.Width));
            tensors.Add(Source($"layers.{layer}.mlp.down.weight", model.Width, model.HiddenWidth));
        }

        var store = new FolderCheckpointStore(_folder.In("checkpoints"));
        store.Commit(new(1, 0), SampleCheckpoint.Description, [store.WriteTensors(new(1, 0), CheckpointFileName.Model(0, 1), tensors)]);
        return store.Open(1);
    }

    private static TensorSource Source(string name, params long[] shape) => SampleCheckpoint.Source(name, TensorTypes.F32, shape, 1);

    private static float[] Stored(CheckpointReader reader, string name)
    {
        var bytes = new byte[reader.ByteCount(name)];
        reader.ReadInto(name, 0, bytes);
        return Floats(bytes);
    }

    private static float[] Values(Dictionary<string, (IReadOnlyList<long> Shape, byte[] Bytes)> exported, string name) => Floats(exported[name].Bytes);

    // Compared as bits: a random pattern may be no number.
    private static float[] Floats(byte[] bytes) => [.. Enumerable.Range(0, bytes.Length / 4).Select(index => (float)(BitConverter.ToInt32(bytes, index * 4) >> 8))];

    private Dictionary<string, (IReadOnlyList<long> Shape, byte[] Bytes)> Read(string folder)
    {
        Dictionary<string, (IReadOnlyList<long> Shape, byte[] Bytes)> tensors = new(StringComparer.Ordinal);
        foreach (var path in Directory.GetFiles(_folder.In(folder), "*.safetensors"))
        {
            using var reader = SafetensorsReader.Open(path);
            foreach (var entry in reader.Header.Entries)
            {
                var bytes = new byte[entry.ByteCount];
                reader.ReadTensor(entry.Name, 0, bytes);
                tensors.Add(entry.Name, (entry.Shape, bytes));
            }
        }

        return tensors;
    }
}
