using System.Runtime.InteropServices;
using Pipeline.Model.Training;
using static TorchSharp.torch;

namespace Pipeline.Stages;

/// <summary>
/// What compression has lost on a rank so far, by transfer: part of the rank's state beside weights and moments, since the next step depends
/// on it. Owns its tensors, fp32 on the host. On the compute thread only.
/// </summary>
internal sealed class ResidualStore : IDisposable
{
    private const string Prefix = "residual.";
    private readonly SortedDictionary<string, Tensor> _tensors = new(StringComparer.Ordinal);

    /// <summary>Everything that it holds, in the order of the names; views that stay its own.</summary>
    internal IEnumerable<StateTensor> State => _tensors.Select(entry => new StateTensor("", entry.Key, IsMoment: true, entry.Value));

    /// <summary>The numbers of a name: those of a copy that was loaded, or zeros.</summary>
    /// <param name="name">Unique on the rank.</param>
    /// <param name="length">How many.</param>
    internal Span<float> Of(string name, int length)
    {
        var key = Prefix + name;
        if (!_tensors.TryGetValue(key, out var tensor) || tensor.numel() != length)
        {
            tensor?.Dispose();
            using var guard = no_grad();
            _tensors[key] = tensor = zeros(length, ScalarType.Float32, CPU).DetachFromDisposeScope();
        }

        return MemoryMarshal.Cast<byte, float>(tensor.bytes);
    }

    /// <summary>Takes over what copies of the rank hold.</summary>
    internal void Load(IEnumerable<StateCopy> copies)
    {
        foreach (var copy in copies)
        {
            foreach (var stored in copy.Tensors.Where(tensor => tensor.Name.StartsWith(Prefix, StringComparison.Ordinal)))
            {
                _ = Of(stored.Name[Prefix.Length..], checked((int)stored.Shape.Aggregate(1L, (product, size) => product * size)));
                copy.TryLoad(new StateTensor("", stored.Name, IsMoment: true, _tensors[stored.Name]));
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var tensor in _tensors.Values) tensor.Dispose();
        _tensors.Clear();
    }
}
