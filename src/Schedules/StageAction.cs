using System.Globalization;

namespace Pipeline.Schedules;

/// <summary>
/// One thing that one stage does in a step: <c>2F0</c> is the forward of stage 2 on micro-batch 0, <c>1B3</c> the backward
/// of stage 1 on micro-batch 3, <c>0O</c> the optimizer of stage 0. The text form is exact: formatting and parsing are
/// inverse, and every action has one spelling. Actions say nothing of sending or receiving: a stage runs its next action
/// when the input has arrived.
/// </summary>
/// <param name="Stage">The virtual stage, from 0.</param>
/// <param name="Kind">What is done.</param>
/// <param name="MicroBatch">The micro-batch of the step, from 0; <see cref="NoMicroBatch"/> for step-level kinds.</param>
public readonly record struct StageAction(int Stage, ActionKind Kind, int MicroBatch)
{
    /// <summary>The micro-batch of an action that has none.</summary>
    public const int NoMicroBatch = -1;

    /// <summary>A step-level action (S, G, T, N, O or A).</summary>
    public static StageAction StepLevel(int stage, ActionKind kind) => new(stage, kind, NoMicroBatch);

    /// <summary>Parses the text form.</summary>
    /// <exception cref="ScheduleException">The text is not an action.</exception>
    public static StageAction Parse(ReadOnlySpan<char> text) =>
        TryParse(text, out var action)
            ? action
            : throw new ScheduleException(
                $"'{text}' is not an action: expected stage, kind and micro-batch with the kind F, B, I, W or R (as in 2F0), " +
                "or stage and kind with the kind S, G, T, N, O or A (as in 0O), numbers without sign or leading zeros.");

    /// <summary>True where the text is exactly the text form of an action.</summary>
    public static bool TryParse(ReadOnlySpan<char> text, out StageAction action)
    {
        action = default;
        var kindAt = text.IndexOfAnyExceptInRange('0', '9');
        if (kindAt < 0 || !ActionKinds.TryFromLetter(text[kindAt], out var kind) || !TryNumber(text[..kindAt], out var stage))
            return false;

        var rest = text[(kindAt + 1)..];
        if (kind.IsStepLevel())
        {
            action = StepLevel(stage, kind);
            return rest.IsEmpty;
        }

        if (!TryNumber(rest, out var microBatch))
            return false;
        action = new StageAction(stage, kind, microBatch);
        return true;
    }

    /// <summary>The text form.</summary>
    public override string ToString() => Kind.IsStepLevel()
        ? string.Create(CultureInfo.InvariantCulture, $"{Stage}{Kind.Letter()}")
        : string.Create(CultureInfo.InvariantCulture, $"{Stage}{Kind.Letter()}{MicroBatch}");

    private static bool TryNumber(ReadOnlySpan<char> digits, out int number)
    {
        number = 0;
        var hasLeadingZero = digits.Length > 1 && digits[0] == '0';
        return !hasLeadingZero && int.TryParse(digits, NumberStyles.None, CultureInfo.InvariantCulture, out number);
    }
}
