namespace Pipeline.Schedules;

/// <summary>Makes schedules of one kind for any shape that the kind allows. Pure: equal shapes give equal schedules.</summary>
public interface IScheduleGenerator
{
    /// <summary>The name in settings and in the schedule's header, lower case.</summary>
    string Name { get; }

    /// <summary>One clause that says what distinguishes the kind, for lists and help.</summary>
    string Summary { get; }

    /// <summary>True where the kind splits backwards into I and W; an executor must be able to.</summary>
    bool UsesSplitBackward { get; }

    /// <summary>How many stages the kind places on a rank.</summary>
    StagesPerRank StagesPerRank { get; }

    /// <summary>The schedule of one training step, without the actions that end the step.</summary>
    /// <exception cref="ScheduleException">The kind does not allow the shape.</exception>
    Schedule Generate(ScheduleShape shape);

    /// <summary>What the generated schedule promises: mailboxes that suffice, activations that are held at most.</summary>
    ScheduleLimits LimitsFor(ScheduleShape shape);
}

/// <summary>How many virtual stages a kind of schedule can place on each rank.</summary>
/// <param name="Minimum">The fewest.</param>
/// <param name="Maximum">The most.</param>
/// <param name="Default">What is taken where nobody asks.</param>
public readonly record struct StagesPerRank(int Minimum, int Maximum, int Default)
{
    /// <summary>One stage per rank.</summary>
    public static StagesPerRank One { get; } = new(1, 1, 1);

    /// <summary>Two stages per rank, those of a V.</summary>
    public static StagesPerRank Two { get; } = new(2, 2, 2);

    /// <summary>Any number, by default two.</summary>
    public static StagesPerRank Any { get; } = new(1, int.MaxValue, 2);

    /// <summary>True where the kind can place that many.</summary>
    public bool Allows(int count) => count >= Minimum && count <= Maximum;

    /// <summary>Refuses another number on behalf of a kind.</summary>
    internal void Require(string name, ScheduleShape shape)
    {
        if (!Allows(shape.VirtualStagesPerRank))
            throw new ScheduleException(
                $"Schedule {name} runs {(Minimum == 1 ? "one stage" : $"{Minimum} stages")} per rank, found {shape.VirtualStagesPerRank} virtual stages per rank. " +
                $"Set pipeline.schedule.virtual-stages to {Minimum}, or to null.");
    }
}
