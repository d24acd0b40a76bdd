using System.Globalization;

namespace Pipeline.Cli.Configuration;

/// <summary>A whole number within a range, both ends included.</summary>
public sealed class WholeNumberSetting(string path, long minimum, long maximum, string unit)
    : Setting<long>(path, minimum == maximum ? Single(minimum) : $"a whole number from {Text(minimum)} to {Text(maximum)} ({unit})")
{
    /// <summary>The sentence that refuses numbers above the maximum, where there is more to say than the range.</summary>
    public string? RefusalAbove { get; init; }

    internal override Reading Read(RawValue raw)
    {
        if (!long.TryParse(raw.Text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var number)) return Reading.Unfit;
        if (number > maximum && RefusalAbove is not null) return Reading.Refused(RefusalAbove);
        return number < minimum || number > maximum ? Reading.Unfit : Reading.Of(number);
    }

    internal override string Write(object? value) => Text((long)value!);

    private static string Text(long number) => number.ToString(CultureInfo.InvariantCulture);

    private static string Single(long number) => $"{Text(number)}, so far the only choice";
}

/// <summary>A real number within a range; either end may be excluded.</summary>
public sealed class RealNumberSetting : Setting<double>
{
    private readonly NumberRange range;

    /// <summary>Declares a real number.</summary>
    public RealNumberSetting(string path, NumberRange range, string unit) : base(path, $"a number {range} ({unit})") => this.range = range;

    internal override Reading Read(RawValue raw) => range.Parse(raw.Text) is { } number ? Reading.Of(number) : Reading.Unfit;

    internal override string Write(object? value) => NumberRange.Text((double)value!);
}

/// <summary>A fixed count of real numbers, written <c>[a, b]</c>.</summary>
public sealed class NumberListSetting : Setting<IReadOnlyList<double>>
{
    private readonly int count;
    private readonly NumberRange range;

    /// <summary>Declares a list of <paramref name="count"/> numbers.</summary>
    public NumberListSetting(string path, int count, NumberRange range, string example)
        : base(path, $"a list of {count} numbers, each {range}, such as {example}") => (this.count, this.range) = (count, range);

    internal override Reading Read(RawValue raw)
    {
        var items = raw.Items ?? raw.Text?.Trim().TrimStart('[').TrimEnd(']').Split(',') ?? [];
        List<double> numbers = [];
        foreach (var item in items)
        {
            if (range.Parse(item) is { } number) numbers.Add(number);
        }

        return numbers.Count == count && items.Count == count ? Reading.Of(numbers) : Reading.Unfit;
    }

    internal override string Write(object? value) =>
        "[" + string.Join(", ", ((IReadOnlyList<double>)value!).Select(NumberRange.Text)) + "]";
}

/// <summary>The range of a real number; <see cref="ToString"/> says it in words.</summary>
/// <param name="Minimum">Lower end.</param>
/// <param name="Maximum">Upper end.</param>
/// <param name="WithoutMinimum">Whether the lower end itself is excluded.</param>
/// <param name="WithoutMaximum">Whether the upper end itself is excluded.</param>
public readonly record struct NumberRange(double Minimum, double Maximum, bool WithoutMinimum = false, bool WithoutMaximum = false)
{
    /// <summary>The number that a text says, or null where it says none within the range.</summary>
    public double? Parse(string? text)
    {
        if (!double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out var number)) return null;
        var above = WithoutMinimum ? number > Minimum : number >= Minimum;
        var below = WithoutMaximum ? number < Maximum : number <= Maximum;
        return above && below ? number : null;
    }

    /// <summary>The shortest text that reads back to the same number.</summary>
    public static string Text(double number) => number.ToString("R", CultureInfo.InvariantCulture);

    /// <inheritdoc/>
    public override string ToString() => (WithoutMinimum, WithoutMaximum) switch
    {
        (false, false) => $"from {Text(Minimum)} to {Text(Maximum)}",
        (false, true) => $"from {Text(Minimum)} to below {Text(Maximum)}",
        (true, false) => $"above {Text(Minimum)}, at most {Text(Maximum)}",
        (true, true) => $"above {Text(Minimum)} and below {Text(Maximum)}",
    };
}
