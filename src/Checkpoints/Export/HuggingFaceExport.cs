using System.Text.Json;
using System.Text.Json.Nodes;

namespace Pipeline.Checkpoints.Export;

/// <summary>What an export wrote.</summary>
/// <param name="Architecture">The class of Hugging Face's library that reads it.</param>
/// <param name="Files">Files of weights.</param>
/// <param name="ByteCount">Bytes of all weights.</param>
public sealed record ExportReport(string Architecture, IReadOnlyList<string> Files, long ByteCount);

/// <summary>
/// Writes the weights of a checkpoint as Hugging Face's libraries read them: safetensors in shards, <c>model.safetensors.index.json</c>,
/// <c>config.json</c>. Numbers are copied bit by bit.
/// </summary>
public static class HuggingFaceExport
{
    private static readonly JsonSerializerOptions s_options = new() { WriteIndented = true };

    /// <summary>Whether an architecture of that library is this model; else the sentence that says why not.</summary>
    public static string? Refusal(ExportModel model)
    {
        if (IsLlama(model) || IsGpt2(model)) return null;
        return "No architecture of Hugging Face's library is this model: expected norm = rms, positions = rope, activation = swiglu, bias = false (Llama), "
            + "or norm = layer, positions = learned, activation = gelu and as many key-value heads as heads (GPT-2). Its tensors are in the checkpoint under their own names.";
    }

    /// <summary>Writes into an empty or new folder.</summary>
    /// <param name="reader">The checkpoint.</param>
    /// <param name="model">Its shape.</param>
    /// <param name="folder">Where to.</param>
    /// <param name="shardByteCount">The most that a file holds, unless one tensor is larger.</param>
    /// <exception cref="CheckpointException">The folder holds something, the disk is full, or the checkpoint lacks a tensor.</exception>
    public static ExportReport Write(CheckpointReader reader, ExportModel model, string folder, long shardByteCount)
    {
        if (Refusal(model) is { } refusal) throw new CheckpointException(refusal);
        if (Directory.Exists(folder) && Directory.EnumerateFileSystemEntries(folder).Any())
            throw new CheckpointException($"{folder} is not empty, and an export overwrites nothing. Name a new folder.");
        TensorViews views = new(reader);
        var shards = Shards(IsLlama(model) ? LlamaLayout.Tensors(model, views) : Gpt2Layout.Tensors(model, views), shardByteCount);
        try
        {
            Directory.CreateDirectory(folder);
            var files = shards.Select((tensors, index) => Write(folder, CheckpointFileName.Model(index, shards.Count), tensors)).ToList();
            File.WriteAllBytes(Path.Combine(folder, CheckpointFileName.WeightIndex), WeightIndex.Text(files));
            File.WriteAllText(Path.Combine(folder, "config.json"), Configuration(model).ToJsonString(s_options) + "\n");
            return new(IsLlama(model) ? "LlamaForCausalLM" : "GPT2LMHeadModel", [.. files.Select(file => file.Name)], shards.Sum(shard => shard.Sum(tensor => tensor.ByteCount)));
        }
        catch (Exception fault) when (CheckpointException.IsFileFault(fault))
        {
            throw CheckpointException.WhileWriting(folder, fault);
        }
    }

    private static bool IsLlama(ExportModel model) => model is { HasRmsNorm: true, HasRope: true, HasSwiGlu: true, HasBias: false };

    private static bool IsGpt2(ExportModel model) => model is { HasRmsNorm: false, HasRope: false, HasSwiGlu: false } && model.KeyValueHeads == model.Heads;

    private static JsonObject Configuration(ExportModel model)
    {
        var configuration = IsLlama(model) ? LlamaLayout.Configuration(model) : Gpt2Layout.Configuration(model);
        configuration["vocab_size"] = model.Vocabulary;
        configuration["tie_word_embeddings"] = model.IsTied;
        configuration["torch_dtype"] = "float32";
        return configuration;
    }

    private static List<List<TensorSource>> Shards(IEnumerable<TensorSource> tensors, long shardByteCount)
    {
        List<List<TensorSource>> shards = [[]];
        long size = 0;
        foreach (var tensor in tensors)
        {
            if (size > 0 && size + tensor.ByteCount > shardByteCount)
            {
                shards.Add([]);
                size = 0;
            }

            shards[^1].Add(tensor);
            size += tensor.ByteCount;
        }

        return shards;
    }

    private static StoredFile Write(string folder, string name, IReadOnlyList<TensorSource> tensors)
    {
        using var stream = new FileStream(Path.Combine(folder, name), FileMode.CreateNew, FileAccess.Write);
        var stored = new SafetensorsWriter(tensors, new Dictionary<string, string>(StringComparer.Ordinal) { ["format"] = "pt" }).WriteTo(name, stream);
        stream.Flush(flushToDisk: true);
        return stored;
    }
}
