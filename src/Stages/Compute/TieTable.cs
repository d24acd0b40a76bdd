using Pipeline.Model.Training;
using Pipeline.Model.Units;
using Pipeline.Protocol;
using Pipeline.Protocol.Frames;

namespace Pipeline.Stages;

/// <summary>The tied parameters of a model by number, and which stages hold their two ends. The same table on every rank.</summary>
internal sealed class TieTable
{
    private readonly Dictionary<string, int> _numbers = new(StringComparer.Ordinal);
    private readonly int[] _stageOfUnit;

    /// <exception cref="ArgumentException">A parameter has more than two uses.</exception>
    internal TieTable(IReadOnlyList<Unit> units, IReadOnlyList<int> unitCounts)
    {
        _stageOfUnit = [.. unitCounts.SelectMany((count, stage) => Enumerable.Repeat(stage, count))];
        foreach (var owner in units.SelectMany(unit => unit.Parameters).Select(spec => spec.TiedTo).OfType<string>())
        {
            if (!_numbers.TryAdd(owner, _numbers.Count))
                throw new ArgumentException($"{owner} is tied to more than one later parameter; two uses are supported.", nameof(units));
        }
    }

    /// <summary>The ties of a stage whose other end lies on another stage.</summary>
    internal IReadOnlyList<RemoteTie> RemoteTiesOf(StageModel model, int stage) =>
        [.. model.Ties.Where(tie => _stageOfUnit[tie.OtherUnitIndex] != stage)
            .Select(tie => new RemoteTie(tie, _numbers[tie.Group], _stageOfUnit[tie.OtherUnitIndex]))];
}

/// <summary>One end of a tied parameter whose other end another stage holds.</summary>
/// <param name="Tie">This end.</param>
/// <param name="Number">Number of the tie in the model.</param>
/// <param name="OtherStage">Stage of the other end.</param>
internal sealed record RemoteTie(TiedParameter Tie, int Number, int OtherStage)
{
    /// <summary>Key of the gradient that this end sends.</summary>
    internal FrameKey Outgoing(StepKey step) => new(step, Number, 0, 0, Tie.IsOwner ? FrameKind.TiedGradientFromOwner : FrameKind.TiedGradientToOwner);

    /// <summary>Key of the gradient that this end awaits.</summary>
    internal FrameKey Incoming(StepKey step) => new(step, Number, 0, 0, Tie.IsOwner ? FrameKind.TiedGradientToOwner : FrameKind.TiedGradientFromOwner);
}
