namespace Pipeline.Schedules;

/// <summary>The schedules that a user can name.</summary>
public static class ScheduleCatalog
{
    private static readonly IScheduleGenerator[] Generators =
    [
        new GPipe(), new OneForwardOneBackward(), new Interleaved(), new LoopedBreadthFirst(), ZeroBubble.H1, ZeroBubble.H2,
        VSchedule.ZeroBubble, VSchedule.Half, VSchedule.Minimum, new DualPipeV(), new Greedy(),
    ];

    /// <summary>The generators in the order in which lists show them.</summary>
    public static IReadOnlyList<IScheduleGenerator> All => Generators;

    /// <summary>The names, comma-separated, for messages.</summary>
    public static string Names => string.Join(", ", Generators.Select(generator => generator.Name));

    /// <summary>The generator of that name, or null.</summary>
    public static IScheduleGenerator? Find(string name) =>
        Array.Find(Generators, generator => string.Equals(generator.Name, name, StringComparison.Ordinal));

    /// <summary>The generator of that name.</summary>
    /// <exception cref="ScheduleException">No schedule has that name; the message offers the nearest.</exception>
    public static IScheduleGenerator Get(string name)
    {
        if (Find(name) is { } generator)
            return generator;
        var hint = NearestName.Find(name, Generators.Select(candidate => candidate.Name)) is { } nearest ? $" Did you mean {nearest}?" : "";
        throw new ScheduleException($"There is no schedule '{name}': expected one of {Names}.{hint}");
    }

    /// <summary>The schedule of that name for a shape, without the actions that end the step.</summary>
    /// <exception cref="ScheduleException">No schedule has that name, or it does not allow the shape.</exception>
    public static Schedule Generate(string name, ScheduleShape shape) => Get(name).Generate(shape);

    /// <summary>The schedule of that name with the number of stages per rank that it takes by default.</summary>
    /// <exception cref="ScheduleException">No schedule has that name, or a size is below 1.</exception>
    public static Schedule Generate(string name, int rankCount, int microBatchCount)
    {
        var generator = Get(name);
        return generator.Generate(new ScheduleShape(rankCount, microBatchCount, generator.StagesPerRank.Default));
    }
}
