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

    /// <summary>True where the kind can place several virtual stages on a rank.</summary>
    bool AllowsVirtualStages { get; }

    /// <summary>The schedule of one training step, without the actions that end the step.</summary>
    /// <exception cref="ScheduleException">The kind does not allow the shape.</exception>
    Schedule Generate(ScheduleShape shape);

    /// <summary>What the generated schedule promises: mailboxes that suffice, activations that are held at most.</summary>
    ScheduleLimits LimitsFor(ScheduleShape shape);
}
