using System.Buffers.Binary;
using Pipeline.Model.Units;
using Pipeline.Reduction.Compression;
using static TorchSharp.torch;

namespace Pipeline.Stages;

/// <summary>
/// The weights of one unit that one replica updates, as its owner and the others see them: they travel as one message, as they are computed with, or in steps that are compressed one
/// behind the other, each with its length before it. Owns its streams. On the compute thread only.
/// </summary>
internal sealed class UnitWeights : IDisposable
{
    private readonly CompressionSettings _settings;
    private readonly SharedWeight[] _weights;

    /// <param name="unit">The unit.</param>
    /// <param name="owner">The replica that updates these.</param>
    /// <param name="parameters">Its parameters, at least one, in the unit's order.</param>
    /// <param name="settings">Compression.</param>
    /// <param name="store">Where the owner keeps what others lack; null where this is another replica.</param>
    /// <param name="seed">The run's seed.</param>
    internal UnitWeights(UnitState unit, int owner, IReadOnlyList<ParameterState> parameters, CompressionSettings settings, ResidualStore? store, ulong seed)
    {
        (Unit, Owner, _settings) = (unit, owner, settings);
        _weights = [.. parameters.Select(parameter => new SharedWeight(parameter, settings, store, seed))];
    }

    /// <summary>The unit.</summary>
    internal UnitState Unit { get; }

    /// <summary>The replica that updates the weights.</summary>
    internal int Owner { get; }

    /// <summary>Before the owner's optimizer updates them.</summary>
    internal void Begin(long step)
    {
        foreach (var weight in _weights) weight.Begin(step);
    }

    /// <summary>What the owner sends after that, owned by the caller.</summary>
    internal Tensor Encode(long step)
    {
        if (Loses(step)) return Joined(step);
        using var guard = no_grad();
        var joined = empty(_weights.Sum(weight => (long)weight.Bytes.Length), ScalarType.Byte, CPU).DetachFromDisposeScope();
        var place = joined.bytes;
        foreach (var weight in _weights)
        {
            weight.SendsWhole(step);
            weight.Bytes.CopyTo(place);
            place = place[weight.Bytes.Length..];
        }

        return joined;
    }

    /// <summary>Takes what the owner has sent.</summary>
    /// <exception cref="CompressionException">It is not what the owner could have sent.</exception>
    internal void Decode(Tensor joined, long step)
    {
        using var guard = no_grad();
        if (Loses(step))
        {
            Split(joined, step);
            return;
        }

        var length = _weights.Sum(weight => (long)weight.Bytes.Length);
        if (joined.dtype != ScalarType.Byte || joined.numel() != length)
            throw new CompressionException($"Expected {length} bytes of weights of unit {Unit.Unit.Name}, found {joined.numel()} of {joined.dtype}.");
        var place = joined.bytes;
        foreach (var weight in _weights)
        {
            place[..weight.Bytes.Length].CopyTo(weight.Bytes);
            place = place[weight.Bytes.Length..];
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var weight in _weights) weight.Dispose();
    }

    private bool Loses(long step) => _settings.KindAt(step) != CompressionKind.None;

    private Tensor Joined(long step)
    {
        using var guard = no_grad();
        List<Tensor> parts = [];
        try
        {
            foreach (var weight in _weights) parts.Add(weight.Encode(step));
            var joined = empty(parts.Sum(part => sizeof(int) + part.numel()), ScalarType.Byte, CPU).DetachFromDisposeScope();
            var place = joined.bytes;
            foreach (var part in parts)
            {
                BinaryPrimitives.WriteInt32LittleEndian(place, checked((int)part.numel()));
                part.bytes.CopyTo(place[sizeof(int)..]);
                place = place[(sizeof(int) + (int)part.numel())..];
            }

            return joined;
        }
        finally
        {
            foreach (var part in parts) part.Dispose();
        }
    }

    /// <summary>All lengths are looked at before any weight is moved.</summary>
    private void Split(Tensor joined, long step)
    {
        if (joined.dtype != ScalarType.Byte) throw new CompressionException($"Expected compressed weights of unit {Unit.Unit.Name}, found {joined.dtype}.");
        List<(long Start, int Length)> parts = [];
        var end = 0L;
        while (parts.Count < _weights.Length)
        {
            if (joined.numel() - end < sizeof(int)) throw Broken(joined.numel());
            var length = BinaryPrimitives.ReadInt32LittleEndian(joined.bytes[(int)end..]);
            parts.Add((end + sizeof(int), length));
            end += sizeof(int) + (long)length;
            if (length < 0 || end > joined.numel()) throw Broken(joined.numel());
        }

        if (end != joined.numel()) throw Broken(joined.numel());
        foreach (var (weight, part) in _weights.Zip(parts))
        {
            using var sent = joined.narrow(0, part.Start, part.Length);
            weight.Decode(sent, step);
        }
    }

    private CompressionException Broken(long length) => new($"The {length} bytes of compressed weights of unit {Unit.Unit.Name} are not those of its {_weights.Length} parameters.");
}
