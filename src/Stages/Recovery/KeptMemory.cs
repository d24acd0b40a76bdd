using TorchSharp;

namespace Pipeline.Stages;

/// <summary>
/// Memory of what is kept of loans: what is forgotten of one step is used again for the next. Memory that is new to a process is cleared by the system at its first use, which costs as
/// much as to send it. Never more than was kept at the same time since <see cref="Drop"/>. Owns what it has not given out. Thread-safe.
/// </summary>
internal sealed class KeptMemory
{
    private readonly Lock _gate = new();
    private readonly Dictionary<long, Stack<torch.Tensor>> _spare = [];
    private bool _isClosed;

    /// <summary>Memory for so many values of fp32, with whatever lies in it, owned by the caller; given back by <see cref="Return"/> or disposed.</summary>
    internal torch.Tensor Take(long length)
    {
        lock (_gate)
        {
            if (_spare.TryGetValue(length, out var spare) && spare.TryPop(out var tensor)) return tensor;
        }

        using var guard = torch.no_grad();
        return torch.empty(length, torch.ScalarType.Float32, torch.CPU).DetachFromDisposeScope();
    }

    /// <summary>Takes back what was taken; nobody else may have it.</summary>
    internal void Return(torch.Tensor tensor)
    {
        lock (_gate)
        {
            if (!_isClosed)
            {
                if (!_spare.TryGetValue(tensor.numel(), out var spare)) _spare.Add(tensor.numel(), spare = []);
                spare.Push(tensor);
                return;
            }
        }

        tensor.Dispose();
    }

    /// <summary>Frees what lies idle: others will be sent other pieces now.</summary>
    internal void Drop()
    {
        lock (_gate)
        {
            foreach (var tensor in _spare.Values.SelectMany(spare => spare)) tensor.Dispose();
            _spare.Clear();
        }
    }

    /// <summary>Frees what lies idle, and what comes back later at once.</summary>
    internal void Close()
    {
        lock (_gate) _isClosed = true;
        Drop();
    }
}
