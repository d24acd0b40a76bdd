using Akka.Actor;

namespace Pipeline.Stages;

/// <summary>
/// Copies whose memory a holder in another process may have mapped, each held until the holder says that it has not: only then another copy may be put there. What a holder may have mapped
/// and cannot be asked about is given away, never written again. Belongs to the rank's actor.
/// </summary>
internal sealed class CopyLoans
{
    private readonly List<Loan> _loans = [];

    /// <summary>A copy is about to be offered to a holder, which may map it from now on.</summary>
    internal void Lend(StateCopy copy, IActorRef holder)
    {
        if (copy.Lent is not null && !_loans.Exists(loan => loan.Copy == copy && loan.Holder.Equals(holder))) _loans.Add(new Loan(copy.Share(), holder));
    }

    /// <summary>A holder has a copy, and says what it has mapped. What was offered to it before that copy and is not among this is free again.</summary>
    internal void Delivered(StateCopy copy, IActorRef holder, IReadOnlyList<string> mapped)
    {
        foreach (var loan in _loans.Where(loan => loan.Holder.Equals(holder)).ToArray())
        {
            if (loan.Copy == copy) loan.IsAnswered = true;
            if (mapped.Contains(loan.Copy.Lent!.Name)) continue;
            // An offer that was never answered may still be on its way.
            End(loan, isGivenAway: !loan.IsAnswered);
        }
    }

    /// <summary>Nobody speaks with any other holder from now on.</summary>
    internal void KeepOnly(IActorRef holder)
    {
        foreach (var loan in _loans.Where(loan => !loan.Holder.Equals(holder)).ToArray()) End(loan, isGivenAway: true);
    }

    private void End(Loan loan, bool isGivenAway)
    {
        _loans.Remove(loan);
        if (isGivenAway) loan.Copy.GiveAway();
        loan.Copy.Dispose();
    }

    private sealed class Loan(StateCopy copy, IActorRef holder)
    {
        internal StateCopy Copy => copy;

        internal IActorRef Holder => holder;

        internal bool IsAnswered { get; set; }
    }
}
