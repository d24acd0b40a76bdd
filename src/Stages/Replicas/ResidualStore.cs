using System.Runtime.InteropServices;
using Pipeline.Checkpoints;
using Pipeline.Model.Training;
using Pipeline.Reduction.Summation;
using static TorchSharp.torch;

namespace Pipeline.Stages;

/// <summary>
/// What compression has lost on a rank so far, by transfer, and what outer steps go on from: part of the rank's state beside weights and moments, since
/// the next step depends on it. A transfer names the logical replica that sends, so its residual is found again wherever that replica lies. Owns its tensors, fp32
/// on the host. On the compute thread only.
/// </summary>
internal sealed class ResidualStore : IDisposable
{
    private const string Prefix = "residual.";
    private readonly SortedDictionary<string, Tensor> _tensors = new(StringComparer.Ordinal);
    private readonly LoadedResiduals _loaded = new();

    /// <summary>The name in copies and checkpoints.</summary>
    internal static string NameOf(string name) => Prefix + name;

    /// <summary>Whether a name of a copy or checkpoint is that of something whose own name begins so.</summary>
    internal static bool IsOf(string beginning, string stored) => stored.AsSpan().StartsWith(Prefix, StringComparison.Ordinal) && stored.AsSpan(Prefix.Length).StartsWith(beginning, StringComparison.Ordinal);

    /// <summary>Whether a copy or checkpoint that was loaded has a name that nobody has asked for yet.</summary>
    internal bool IsLoaded(string name) => _loaded.Has(NameOf(name));

    /// <summary>Whether there are numbers of a name, in use or loaded.</summary>
    internal bool Holds(string name) => _tensors.ContainsKey(NameOf(name)) || IsLoaded(name);

    /// <summary>Whether nothing is compressed here.</summary>
    internal bool IsEmpty => _tensors.Count == 0;

    /// <summary>Everything that it holds, in the order of the names; views that stay its own.</summary>
    internal IEnumerable<StateTensor> State => _tensors.Select(entry => new StateTensor("", entry.Key, IsMoment: true, entry.Value));

    /// <summary>The numbers of a name: those that were loaded, or zeros.</summary>
    /// <param name="name">Unique in the run.</param>
    /// <param name="length">How many.</param>
    internal Span<float> Of(string name, int length) => MemoryMarshal.Cast<byte, float>(TensorOf(name, length).bytes);

    /// <summary>The same as a tensor, which stays the store's.</summary>
    /// <inheritdoc cref="Of"/>
    internal Tensor TensorOf(string name, int length)
    {
        var key = Prefix + name;
        if (!_tensors.TryGetValue(key, out var tensor))
        {
            using var guard = no_grad();
            // What was lost under other buckets has no place here: it is as if compression began now.
            tensor = _loaded.Take(key, length) ?? zeros(length, ScalarType.Float32, CPU).DetachFromDisposeScope();
            _tensors.Add(key, tensor);
        }

        return tensor;
    }

    /// <summary>What a copy or checkpoint that was loaded has under a name, and nobody has asked for yet; null for nothing. Owned by the caller, who does not write it.</summary>
    internal Tensor? Loaded(string name) => _loaded.Read(NameOf(name));

    /// <summary>
    /// Begins a range of a bucket with what was loaded of it, whoever had lost it: one sender's, whole, where nothing has changed; a sum of several
    /// where there were more senders, or other ranges. Must come before anything asks for its numbers.
    /// </summary>
    /// <param name="range">The range.</param>
    /// <param name="takes">Whose losses it takes, by replica.</param>
    internal void Adopt(ResidualRange range, Func<int, bool> takes)
    {
        var pieces = _loaded.All.Select(entry => (entry.Name, Range: ResidualRange.Parse(entry.Name.AsSpan(Prefix.Length), entry.Length)))
            .Where(piece => piece.Range is { } found && found.Bucket == range.Bucket && (found.From < 0) == (range.From < 0) && (found.From < 0 || takes(found.From)) && found.Overlaps(range))
            .OrderBy(piece => piece.Range!.From).ThenBy(piece => piece.Range!.Start).ToArray();
        if (pieces.Length == 0 || _tensors.ContainsKey(Prefix + range.Name)) return;
        using var guard = no_grad();
        var tensor = zeros(range.Length, ScalarType.Float32, CPU).DetachFromDisposeScope();
        var sum = MemoryMarshal.Cast<byte, float>(tensor.bytes);
        foreach (var (name, found) in pieces)
        {
            using var values = _loaded.Read(name)!;
            var (start, end) = (Math.Max(found!.Start, range.Start), Math.Min(found.End, range.End));
            var part = MemoryMarshal.Cast<byte, float>(values.bytes)[(start - found.Start)..(end - found.Start)];
            var place = sum[(start - range.Start)..(end - range.Start)];
            // The first sender's are copied: not even the sign of a zero changes then.
            if (found.From == pieces[0].Range!.From) part.CopyTo(place);
            else SpanSum.Add(place, part, place);
        }

        _tensors.Add(Prefix + range.Name, tensor);
    }

    /// <summary>Takes what copies hold, until it is asked for.</summary>
    internal void Load(IEnumerable<StateCopy> copies)
    {
        foreach (var copy in copies)
        {
            foreach (var stored in copy.Tensors.Where(tensor => tensor.Name.StartsWith(Prefix, StringComparison.Ordinal)))
            {
                using var guard = no_grad();
                var place = zeros([.. stored.Shape], ScalarType.Float32, CPU).DetachFromDisposeScope();
                copy.TryLoad(new StateTensor("", stored.Name, IsMoment: true, place));
                _loaded.Add(stored.Name, place);
            }
        }
    }

    /// <summary>Takes what a checkpoint holds of it, as it is asked for.</summary>
    /// <param name="checkpoint">Where it lies; owned from now on, until <see cref="Settle"/>.</param>
    /// <param name="wants">Whether a tensor of that name may be asked for here.</param>
    internal void Load(CheckpointReader checkpoint, Func<string, bool> wants) =>
        _loaded.Add(checkpoint, name => name.StartsWith(Prefix, StringComparison.Ordinal) && !IsOf(ReplicaPlace.Prefix, name) && wants(name));

    /// <summary>
    /// Compression begins anew, as in a first step: what it has lost of a step that was passed over may not be a number, and nothing of that
    /// step is to be left. What replicas last shared, their outer momentum, and weights that others lack something of are no losses and stay.
    /// </summary>
    internal void Forget()
    {
        var losses = _tensors.Where(entry => !IsOf(OuterWeights.Prefix, entry.Key) && !IsOf(SharedWeight.Prefix, entry.Key));
        foreach (var (_, tensor) in losses) MemoryMarshal.Cast<byte, float>(tensor.bytes).Clear();
    }

    /// <summary>Forgets what was loaded and nobody asked for: it belongs to other ranks, or to buckets that are no more.</summary>
    internal void Settle() => _loaded.Dispose();

    /// <inheritdoc/>
    public void Dispose()
    {
        Settle();
        foreach (var tensor in _tensors.Values) tensor.Dispose();
        _tensors.Clear();
    }
}

/// <summary>What a rank writes into a checkpoint beside its stages.</summary>
/// <param name="State">The tensors, all of them moments; may be none.</param>
/// <param name="Rank">The rank.</param>
/// <param name="RankCount">Ranks of all replicas.</param>
internal sealed record RankResiduals(IEnumerable<StateTensor> State, int Rank, int RankCount);
