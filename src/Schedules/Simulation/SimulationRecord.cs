namespace Pipeline.Schedules;

/// <summary>What a simulation writes down: for each rank and action the start and the end, and how the rank's time adds up.</summary>
internal sealed class SimulationRecord
{
    private readonly double[][] _starts;
    private readonly double[][] _ends;
    private readonly RankTotals[] _totals;

    public SimulationRecord(Schedule schedule)
    {
        _starts = [.. schedule.Actions.Select(row => new double[row.Length])];
        _ends = [.. schedule.Actions.Select(row => new double[row.Length])];
        _totals = new RankTotals[schedule.RankCount];
    }

    /// <summary>Starts of a rank's actions, in their order.</summary>
    public double[] Starts(int rank) => _starts[rank];

    /// <summary>Ends of a rank's actions, in their order.</summary>
    public double[] Ends(int rank) => _ends[rank];

    /// <summary>How a rank's time adds up until its last action ended.</summary>
    public RankTotals Totals(int rank) => _totals[rank];

    /// <summary>Notes a start.</summary>
    /// <param name="rank">The rank.</param>
    /// <param name="position">The action's place.</param>
    /// <param name="start">When.</param>
    /// <param name="end">When it will end.</param>
    /// <param name="transfer">The part of it that takes a message apart.</param>
    /// <param name="free">Since when the rank was free.</param>
    /// <param name="made">When the last input from elsewhere was made.</param>
    public void Started(int rank, int position, double start, double end, double transfer, double free, double made)
    {
        _starts[rank][position] = start;
        _ends[rank][position] = end;
        var ready = Math.Clamp(made, free, start);
        ref var totals = ref _totals[rank];
        totals.Bubble += ready - free;
        totals.Wait += start - ready;
        totals.Busy += end - start - transfer;
        totals.Transfer += transfer;
    }

    /// <summary>Notes that the rank was kept busy making a message.</summary>
    public void Sent(int rank, double duration) => _totals[rank].Transfer += duration;
}

/// <summary>How a rank spends its time.</summary>
internal struct RankTotals
{
    /// <summary>In actions.</summary>
    public double Busy;

    /// <summary>Making and taking apart messages.</summary>
    public double Transfer;

    /// <summary>Free, with the next action's input made but not arrived.</summary>
    public double Wait;

    /// <summary>Free, with the input not made.</summary>
    public double Bubble;
}
