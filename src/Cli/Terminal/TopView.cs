using System.Globalization;
using System.Text.Json.Nodes;
using Pipeline.Protocol.Security;

namespace Pipeline.Cli.Terminal;

/// <summary>What <c>pipeline top</c> shows of a run, as lines no wider than the window. Pure.</summary>
/// <param name="Status">As <c>status --json</c> has it.</param>
/// <param name="Stages">As <c>stages --json</c> has it.</param>
/// <param name="Nodes">As <c>nodes --json</c> has it.</param>
/// <param name="Links">As <c>links --json</c> has it.</param>
/// <param name="Loss">The loss as a line of text.</param>
internal sealed record TopView(JsonObject Status, JsonArray Stages, JsonArray Nodes, JsonArray Links, string Loss)
{
    private const int LaneWidth = 40;

    /// <summary>The whole screen.</summary>
    /// <param name="width">Columns.</param>
    /// <param name="hasColor">Whether colours are welcome.</param>
    public IReadOnlyList<string> Screen(int width, bool hasColor)
    {
        List<string> lines = [Paint($"{SafeText.Of(Path.GetFileName(Text(Status, "run")))}  {SafeText.Of(Text(Status, "phase"))}  generation {Number(Status, "generation"):0}", "1", hasColor), Progress(Math.Min(width - 2, 70))];
        lines.Add(Line());
        lines.Add("loss  " + SafeText.Of(Loss, 200));
        lines.AddRange((Status["health"] as JsonArray ?? []).Select(sentence => Paint("look  " + SafeText.Of(sentence!.ToString(), 200), "31", hasColor)));
        lines.Add("");
        lines.Add("rank  node          units  busy  wait  idle");
        lines.AddRange(Stages.Select(stage => Lane(stage!.AsObject(), hasColor)));
        lines.Add("");
        if (Links.Any(link => link!["bytes_sent"] is not null))
        {
            lines.Add("link            from -> to                     MiB/s  credit MiB");
            lines.AddRange(Links.Select(link => link!.AsObject()).Where(link => link["bytes_sent"] is not null).Select(Link));
            lines.Add("");
        }

        lines.Add("node          ranks      device    cpu s     memory");
        lines.AddRange(Nodes.Select(node => Node(node!.AsObject())));
        lines.Add("");
        lines.Add(Paint("q leaves; the run goes on", "2", hasColor));
        return [.. lines.Select(line => Cut(line, width))];
    }

    /// <summary>One line for where there is no terminal.</summary>
    public string Line() => Status["loss"] is null
        ? Invariant($"{SafeText.Of(Text(Status, "phase"))} step {Number(Status, "step"):0}/{Number(Status, "end_step"):0}")
        : Invariant($"{SafeText.Of(Text(Status, "phase"))} step {Number(Status, "step"):0}/{Number(Status, "end_step"):0}  loss {Number(Status, "loss"):F4}  lr {Number(Status, "lr"):0.00E+0}  {Number(Status, "tokens_per_second"):N0} tokens/s  bubble {Number(Status, "bubble"):P1}{Exposed()}{Eta()}");

    private string Progress(int width)
    {
        var share = Number(Status, "end_step") > 0 ? Math.Clamp(Number(Status, "step") / Number(Status, "end_step"), 0, 1) : 0;
        var done = (int)Math.Round(share * (width - 8));
        return Invariant($"{new string('█', done)}{new string('░', width - 8 - done)} {share:P0}");
    }

    private string Exposed() => Status["exposed"] is null ? "" : Invariant($"  replicas {Number(Status, "exposed"):P1}");

    private string Eta() => Status["eta_seconds"] is null ? "" : $"  ETA {TimeSpan.FromSeconds(Math.Round(Number(Status, "eta_seconds"))):c}";

    private static string Lane(JsonObject stage, bool hasColor)
    {
        var (busy, wait) = (Number(stage, "busy"), Number(stage, "wait"));
        var computes = (int)Math.Round(Math.Clamp(busy, 0, 1) * LaneWidth);
        var waits = Math.Min(LaneWidth - computes, (int)Math.Round(Math.Clamp(wait, 0, 1) * LaneWidth));
        return Invariant($"{Number(stage, "rank"),4:0}  {SafeText.Of(Text(stage, "node"), 12),-12}  {Number(stage, "units"),5:0}  {busy,4:P0}  {wait,4:P0}  ")
            + Paint(new string('█', computes), "32", hasColor) + Paint(new string('▒', waits), "33", hasColor) + new string('·', LaneWidth - computes - waits);
    }

    private static string Node(JsonObject node)
    {
        var ranks = string.Join(",", (node["ranks"] as JsonArray ?? []).Select(rank => rank!.ToString()));
        var memory = node["memory_bytes"] is null ? "-" : Invariant($"{Number(node, "memory_bytes") / 1048576:F0} MiB");
        return Invariant($"{SafeText.Of(Text(node, "name"), 12),-12}  {(ranks.Length > 0 ? ranks : "spare"),-8}  {SafeText.Of(Text(node, "device"), 7),-7}  {(node["cpu_seconds"] is null ? "-" : Invariant($"{Number(node, "cpu_seconds"):F1}")),6}  {memory,9}");
    }

    private static string Link(JsonObject link)
    {
        var way = $"{Number(link, "from_rank"):0} -> {Number(link, "to_rank"):0} {SafeText.Of(Text(link, "purpose"), 6)}";
        var ends = $"{SafeText.Of(Text(link, "from"), 12)} -> {SafeText.Of(Text(link, "to"), 12)}";
        return Invariant($"{way,-14}  {ends,-28}  {Number(link, "bytes_per_second") / 1048576,7:F2}  {Number(link, "credit_bytes") / 1048576,10:F2}{(Text(link, "connected") == "false" ? "  broken" : "")}");
    }

    private static string Paint(string text, string color, bool hasColor) => hasColor && text.Length > 0 ? $"\u001b[{color}m{text}\u001b[0m" : text;

    // Control sequences take no column.
    private static string Cut(string line, int width)
    {
        var (columns, isSequence) = (0, false);
        for (var place = 0; place < line.Length; place++)
        {
            if (line[place] == '\u001b') isSequence = true;
            else if (isSequence) isSequence = line[place] != 'm';
            else if (++columns > width) return line[..place] + (line.Contains('\u001b', StringComparison.Ordinal) ? "\u001b[0m" : "");
        }

        return line;
    }

    private static string Text(JsonObject json, string name) => json[name]?.ToString() ?? "";

    private static double Number(JsonObject json, string name) =>
        json[name] is { } node && double.TryParse(node.ToString(), CultureInfo.InvariantCulture, out var number) ? number : 0;

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
