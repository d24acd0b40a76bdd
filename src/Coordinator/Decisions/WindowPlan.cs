namespace Pipeline.Coordinator;

/// <summary>Something that every stage does in its turn. All stages get the same directives in the same order.</summary>
internal abstract record StageDirective
{
    /// <summary>Run these steps.</summary>
    internal sealed record Grant(long FromStep, long ThroughStep) : StageDirective;

    /// <summary>Evaluate with the weights after this step.</summary>
    internal sealed record Evaluate(long AfterStep) : StageDirective;

    /// <summary>Save the state after this step.</summary>
    internal sealed record Save(long Step) : StageDirective;
}

/// <summary>
/// How far stages may go: a grant never passes an evaluation, a checkpoint or the end, and what belongs there follows it in line, so
/// that stages meet every such point in the same order without waiting for one another. Pure.
/// </summary>
internal static class WindowPlan
{
    /// <summary>What to hand out next.</summary>
    /// <param name="plan">Run.</param>
    /// <param name="granted">Last step handed out.</param>
    /// <param name="committed">Last step that every rank has completed.</param>
    internal static IReadOnlyList<StageDirective> Next(RunPlan plan, long granted, long committed)
    {
        List<StageDirective> directives = [];
        var target = Math.Min(plan.EndStep, committed + plan.StepsAhead);
        while (granted < target)
        {
            var through = Math.Min(target, NextPoint(plan, granted));
            directives.Add(new StageDirective.Grant(granted + 1, through));
            granted = through;
            if (plan.EvaluatesAfter(granted)) directives.Add(new StageDirective.Evaluate(granted));
            if (plan.SavesAfter(granted)) directives.Add(new StageDirective.Save(granted));
        }

        return directives;
    }

    private static long NextPoint(RunPlan plan, long granted) =>
        Math.Min(plan.EndStep, Math.Min(NextMultiple(plan.EvaluateEvery, granted), plan.Saves ? NextMultiple(plan.SaveEvery, granted) : long.MaxValue));

    private static long NextMultiple(long every, long after) => every > 0 ? (after / every + 1) * every : long.MaxValue;
}
