namespace Pipeline.Coordinator;

/// <summary>Something that every stage is told.</summary>
internal abstract record StageDirective
{
    /// <summary>Run these steps, with the evaluations that follow them.</summary>
    internal sealed record Grant(long FromStep, long ThroughStep) : StageDirective;

    /// <summary>Save the state after this step.</summary>
    internal sealed record Save(long Step) : StageDirective;
}

/// <summary>
/// How far stages may go: a save is handed out after the grant of its step and before any beyond it, so that no stage is past the step
/// when it hears of it. Pure.
/// </summary>
internal static class WindowPlan
{
    /// <summary>What to hand out next.</summary>
    /// <param name="plan">Run.</param>
    /// <param name="granted">Last step handed out.</param>
    /// <param name="through">The step that the window reaches to.</param>
    internal static IReadOnlyList<StageDirective> Next(RunPlan plan, long granted, long through)
    {
        List<StageDirective> directives = [];
        var target = Math.Min(plan.EndStep, through);
        while (granted < target)
        {
            var next = Math.Min(target, NextSave(plan, granted));
            directives.Add(new StageDirective.Grant(granted + 1, next));
            granted = next;
            if (plan.SavesAfter(granted)) directives.Add(new StageDirective.Save(granted));
        }

        return directives;
    }

    private static long NextSave(RunPlan plan, long granted) =>
        plan is { Saves: true, SaveEvery: > 0 and var every } ? (granted / every + 1) * every : long.MaxValue;
}
