using Pipeline.Schedules;

namespace Pipeline.Stages;

/// <summary>Whether a stage waits for the step's global norm before its optimizer runs.</summary>
public enum OptimizerBarrier
{
    /// <summary>As the measured clip rate and the schedule suggest: see <see cref="BarrierChoice"/>.</summary>
    Auto,

    /// <summary>Always: nothing is ever redone.</summary>
    On,

    /// <summary>Never where it would have to wait: it goes on as if nothing were clipped and redoes what was begun if something is.</summary>
    Off,
}

/// <summary>
/// Decides from the steps so far whether the next one waits for its norm. A step that goes on without it and is then clipped redoes all that
/// was begun of the following one, which costs more than the wait; so with many clipped steps it waits. A schedule whose backward is not
/// split ends on the rank that makes the totals: there is nothing to gain there. No influence on any bit.
/// </summary>
/// <param name="barrier">What is set.</param>
/// <param name="schedule">What the ranks run.</param>
public sealed class BarrierChoice(OptimizerBarrier barrier, Schedule schedule)
{
    /// <summary>Steps that the clip rate is measured over.</summary>
    public const int WindowLength = 16;

    /// <summary>Steps that must be known before one goes on without its norm.</summary>
    public const int LeastHistory = 4;

    /// <summary>The highest clip rate at which steps go on: one redone step loses about as much as eight waits.</summary>
    public const double HighestClipRate = 1.0 / 8;

    private readonly Queue<bool> _clipped = new();

    /// <summary>Whether stages must hold a second copy of their weights. One rank alone knows every norm at once.</summary>
    public bool MayRunAhead { get; } = schedule.RankCount > 1
        && (barrier == OptimizerBarrier.Off || (barrier == OptimizerBarrier.Auto && schedule.UsesSplitBackward));

    /// <summary>Share of the last steps that were clipped; 0 before the first.</summary>
    public double ClipRate => _clipped.Count == 0 ? 0 : (double)_clipped.Count(clipped => clipped) / _clipped.Count;

    /// <summary>Whether the next step waits for its norm.</summary>
    public bool WaitsForNorm => !MayRunAhead || (barrier == OptimizerBarrier.Auto && (_clipped.Count < LeastHistory || ClipRate > HighestClipRate));

    /// <summary>Notes a settled step.</summary>
    public void Settled(bool isClipped)
    {
        _clipped.Enqueue(isClipped);
        if (_clipped.Count > WindowLength) _clipped.Dequeue();
    }
}
