using Pipeline.Protocol;
using Pipeline.Protocol.Frames;
using TorchSharp;
using static Pipeline.Protocol.NeighbourProtocol;

namespace Pipeline.Stages;

/// <summary>
/// What a rank has sent to other ranks since the last protected step, so that a replacement can be fed with it again. Keys and
/// notes are kept without a generation; they get that of the time at which they are sent. Owns the kept tensors until they are forgotten.
/// Not thread-safe: its links guard it.
/// </summary>
/// <param name="volume">Told how much it is.</param>
internal sealed class KeptMessages(KeptVolume volume)
{
    private readonly SortedDictionary<long, List<KeptMessage>> _byPhase = [];
    private readonly SortedDictionary<long, StepOutcome> _knownTotals = [];
    private readonly KeptMemory _memory = new();

    /// <summary>Tensors and notes that are kept.</summary>
    internal int Count => _byPhase.Values.Sum(phase => phase.Count);

    /// <summary>Keeps a tensor; takes ownership.</summary>
    internal void Add(int rank, FrameKey key, torch.Tensor tensor, ICompletion completion)
    {
        KeptTensor kept = new(rank, key, tensor, completion);
        volume.Add(kept.ByteCount);
        Phase(StageInbox.PhaseOf(key)).Add(kept);
    }

    /// <summary>Keeps something that is sent from where it lies.</summary>
    /// <param name="rank">To whom.</param>
    /// <param name="key">Which.</param>
    /// <param name="view">Names the memory; owned from now on.</param>
    internal KeptLoan AddLent(int rank, FrameKey key, torch.Tensor view)
    {
        var loan = new KeptLoan(rank, key, view, _memory);
        volume.Add(loan.ByteCount);
        Phase(StageInbox.PhaseOf(key)).Add(loan);
        return loan;
    }

    /// <summary>Keeps a note.</summary>
    internal void Add(int rank, INote note) => Phase(StageInbox.StepPhase(note.Step.Step)).Add(new KeptNote(rank, note));

    /// <summary>Keeps what a step amounted to, as this rank was told.</summary>
    internal void AddKnown(StepTotals totals) => _knownTotals.TryAdd(totals.Step.Step, totals.Outcome);

    /// <summary>
    /// What a rank may lack that has completed a step, in the order in which it was sent. Tensors are aliases, owned by the caller; what was lent is named only, and is to be had with
    /// <see cref="KeptLoan.Again"/>.
    /// </summary>
    internal IEnumerable<KeptMessage> Lacking(int rank, long completedStep) =>
        from phase in _byPhase
        where phase.Key > StageInbox.StepPhase(completedStep)
        from message in phase.Value
        where message.Rank == rank
        select message switch
        {
            KeptTensor kept => kept with { Tensor = Alias(kept.Tensor) },
            KeptNote { Note: SquaredNorms squares } => new KeptNote(rank, squares with { Known = _knownTotals.GetValueOrDefault(squares.Step.Step) }),
            _ => message,
        };

    /// <summary>Forgets what led to the end of a step: no rank will ever be put back further.</summary>
    internal void Forget(long protectedStep)
    {
        var through = StageInbox.StepPhase(protectedStep);
        foreach (var phase in _byPhase.Keys.TakeWhile(phase => phase <= through).ToArray())
        {
            Free(_byPhase[phase]);
            _byPhase.Remove(phase);
        }

        foreach (var step in _knownTotals.Keys.TakeWhile(step => step <= protectedStep).ToArray()) _knownTotals.Remove(step);
    }

    /// <summary>Frees everything.</summary>
    internal void Close()
    {
        foreach (var phase in _byPhase.Values) Free(phase);
        _byPhase.Clear();
        _memory.Close();
    }

    /// <summary>Frees the memory that lies idle for what is kept next.</summary>
    internal void DropSpare() => _memory.Drop();

    /// <summary>The same memory under another owner; neither writes it.</summary>
    internal static torch.Tensor Alias(torch.Tensor tensor)
    {
        using var guard = torch.no_grad();
        return tensor.detach().DetachFromDisposeScope();
    }

    /// <summary>The same values in memory of their own, owned by the caller.</summary>
    internal static torch.Tensor CopyOf(torch.Tensor tensor)
    {
        using var guard = torch.no_grad();
        return tensor.clone().DetachFromDisposeScope();
    }

    private void Free(List<KeptMessage> messages)
    {
        foreach (var kept in messages.OfType<KeptTensor>())
        {
            volume.Add(-kept.ByteCount);
            kept.Tensor.Dispose();
        }

        foreach (var loan in messages.OfType<KeptLoan>())
        {
            volume.Add(-loan.ByteCount);
            loan.Free();
        }
    }

    private List<KeptMessage> Phase(long phase)
    {
        if (!_byPhase.TryGetValue(phase, out var messages)) _byPhase.Add(phase, messages = []);
        return messages;
    }
}

/// <summary>Something that was sent to a rank.</summary>
/// <param name="Rank">Whom it was sent to.</param>
internal abstract record KeptMessage(int Rank);

/// <summary>A tensor that was sent.</summary>
internal sealed record KeptTensor(int Rank, FrameKey Key, torch.Tensor Tensor, ICompletion Completion) : KeptMessage(Rank)
{
    /// <summary>Bytes of its elements.</summary>
    internal long ByteCount { get; } = Tensor.numel() * Tensor.element_size();
}

/// <summary>A note that was sent.</summary>
internal sealed record KeptNote(int Rank, INote Note) : KeptMessage(Rank);
