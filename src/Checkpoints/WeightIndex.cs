using System.Text.Json;
using System.Text.Json.Serialization;

namespace Pipeline.Checkpoints;

/// <summary>
/// <c>model.safetensors.index.json</c> as Hugging Face's libraries read it: the size of all weights, and which file holds which.
/// </summary>
internal sealed record WeightIndex(WeightIndex.Totals Metadata, [property: JsonPropertyName("weight_map")] SortedDictionary<string, string> WeightMap)
{
    internal sealed record Totals([property: JsonPropertyName("total_size")] long TotalSize);

    internal static byte[] Text(IEnumerable<StoredFile> files)
    {
        var map = new SortedDictionary<string, string>(StringComparer.Ordinal);
        long total = 0;
        foreach (var file in files.Where(file => CheckpointFileName.HoldsWeights(file.Name)))
        {
            foreach (var tensor in file.Tensors)
            {
                map.Add(tensor.Name, file.Name);
                total += TensorTypes.ByteCount(tensor.DType, tensor.Shape);
            }
        }

        return JsonSerializer.SerializeToUtf8Bytes(new WeightIndex(new Totals(total), map), ManifestJson.Default.WeightIndex);
    }
}
