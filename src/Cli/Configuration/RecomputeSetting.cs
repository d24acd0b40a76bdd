using Pipeline.Schedules;

namespace Pipeline.Cli.Configuration;

/// <summary>What units recompute: one word for all of them, or so many of each in the model's order.</summary>
public sealed class RecomputeSetting(string path)
    : Setting<UnitRecompute>(path, "one of none, selective, full, or parts such as 4xfull, 10xnone: so many units each, in the model's order")
{
    private static readonly string[] s_words = ["none", "selective", "full"];

    internal override Reading Read(RawValue raw)
    {
        if ((raw.Text ?? (raw.Items is { } items ? string.Join(',', items) : null)) is not { } text) return Reading.Unfit;
        if (UnitRecompute.Parse(text) is { } recompute) return Reading.Of(recompute);
        return NearestName.To(text, s_words) is { } near ? Reading.Refused($"Expected {Expectation}; did you mean {near}?") : Reading.Unfit;
    }

    internal override string Write(object? value)
    {
        var recompute = (UnitRecompute)value!;
        return recompute.UnitCount is null ? recompute.ToString() : TextSetting.Quote(recompute.ToString());
    }
}
