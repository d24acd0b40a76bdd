namespace Pipeline.Operator;

/// <summary>What may stand at the end of an unfinished line: words of the catalogue, and names that live.</summary>
internal static class LineCompletion
{
    internal static async Task<IReadOnlyList<string>> ForAsync(string line, OperatedRun run, RunWatch watch, CancellationToken cancellation)
    {
        var words = line.TrimStart().Split(' ', StringSplitOptions.RemoveEmptyEntries);
        var isNew = line.Length == 0 || char.IsWhiteSpace(line[^1]);
        var start = isNew ? "" : words[^1];
        var place = words.Length - (isNew ? 0 : 1);
        var candidates = place == 0 ? CommandCatalogue.All.Select(command => command.Name) : await ArgumentsAsync(words, place - 1, start, run, watch, cancellation).ConfigureAwait(false);
        return [.. candidates.Where(word => word.StartsWith(start, StringComparison.Ordinal)).Order(StringComparer.Ordinal)];
    }

    private static async Task<IEnumerable<string>> ArgumentsAsync(string[] words, int place, string start, OperatedRun run, RunWatch watch, CancellationToken cancellation)
    {
        if (CommandCatalogue.Find(words[0]) is not { } command) return [];
        if (start.StartsWith('-')) return command.Flags.Select(flag => flag.Name).Concat(command.Warning is null ? [] : [CommandCatalogue.Consent]);
        return (place < command.Completions.Count ? command.Completions[place] : Completion.Free) switch
        {
            Completion.Node => (await run.NodesAsync(cancellation).ConfigureAwait(false)).Select(node => node.Line.Name),
            Completion.Rank => (await run.StatusAsync(cancellation).ConfigureAwait(false)).Stages.Select(stage => $"{stage.Rank}"),
            Completion.RankOrUnit => await run.StatusAsync(cancellation).ConfigureAwait(false) is var status ? [.. status.Stages.Select(stage => $"{stage.Rank}"), .. status.UnitNames ?? []] : [],
            Completion.Setting => Protocol.SettingChange.SettingNames,
            Completion.SettingValue => Protocol.SettingChange.ParseChangeable(words[place]) is { } setting ? Protocol.SettingChange.WordsOf(setting) : [],
            Completion.Metric => MeasureCommands.MetricNames,
            Completion.Command => CommandCatalogue.All.Select(known => known.Name),
            Completion.CheckpointWord => ["now", "ls", "keep"],
            Completion.TraceWord => ["start", "stop"],
            _ => [],
        };
    }
}
