using static TorchSharp.torch;

namespace Pipeline.Model.Units;

/// <summary>
/// The state of one generation: how many positions are behind it, and per unit the keys and values of those positions.
/// Owns the tensors put into it until <see cref="Dispose"/>.
/// </summary>
public sealed class SessionState : IDisposable
{
    private readonly Dictionary<(int Unit, string Name), Tensor> _slots = [];

    /// <summary>Positions that earlier passes covered.</summary>
    public int Position { get; private set; }

    /// <summary>A slot's tensor, or null before the first pass.</summary>
    public Tensor? this[int unit, string name] => _slots.GetValueOrDefault((unit, name));

    /// <summary>Replaces a slot; takes ownership.</summary>
    public void Put(int unit, string name, Tensor value)
    {
        if (_slots.Remove((unit, name), out var former)) former.Dispose();
        _slots.Add((unit, name), value.DetachFromDisposeScope());
    }

    /// <summary>Moves on after a pass over some tokens.</summary>
    public void Advance(int tokenCount) => Position += tokenCount;

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var tensor in _slots.Values) tensor.Dispose();
        _slots.Clear();
    }
}
