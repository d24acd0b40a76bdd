using MessagePack;

namespace Pipeline.Protocol;

/// <summary>Why a stage failed.</summary>
public enum StageFailureKind
{
    /// <summary>The model, its data or its checkpoint could not be set up: something that the user can mend, before the first step.</summary>
    Preparation = 0,

    /// <summary>An action threw.</summary>
    Action = 1,

    /// <summary>The copy to start from is not where it should be: the coordinator finds another starting point.</summary>
    CopyMissing = 4,
}

/// <summary>Whether a step may be applied.</summary>
public enum StepVerdict
{
    /// <summary>Every stage applies the step.</summary>
    Apply = 0,

    /// <summary>A loss is not finite: no stage applies the step.</summary>
    NonFiniteLoss = 1,

    /// <summary>The norm is not finite: no stage applies the step.</summary>
    NonFiniteNorm = 2,
}

/// <summary>What one step amounts to over all stages.</summary>
/// <param name="LossSum">Loss in nats, summed over the step's tokens.</param>
/// <param name="TokenCount">Predicted tokens.</param>
/// <param name="GradientNorm">Global norm of the mean gradient, before clipping.</param>
/// <param name="Verdict">Whether it is applied.</param>
/// <param name="MicroBatch">The first micro-batch whose loss is not finite; -1 if none.</param>
/// <param name="IsLast">Whether the run ends with it by request: what is granted beyond it is void.</param>
[MessagePackObject]
public sealed record StepOutcome(
    [property: Key(0)] double LossSum,
    [property: Key(1)] long TokenCount,
    [property: Key(2)] double GradientNorm,
    [property: Key(3)] StepVerdict Verdict,
    [property: Key(4)] int MicroBatch,
    [property: Key(5)] bool IsLast = false)
{
    /// <summary>Mean loss in nats per token.</summary>
    [IgnoreMember]
    public double Loss => LossSum / TokenCount;
}

/// <summary>Where a rank's time of one step went. Time that is neither busy nor waiting is the executor's own.</summary>
/// <param name="Seconds">From the former step's end to this one's, without evaluation and saving between them.</param>
/// <param name="BusySeconds">In actions.</param>
/// <param name="WaitSeconds">Waiting for inputs.</param>
/// <param name="DiscardedActions">Actions of the step that ran in vain, since the former step was not what had been assumed.</param>
/// <param name="ExposedSeconds">Of the waiting, that for what other replicas add up or update: communication that nothing hid.</param>
/// <param name="ExchangedBytes">Bytes of tensors that were sent to other replicas.</param>
[MessagePackObject]
public sealed record StepTiming(
    [property: Key(0)] double Seconds,
    [property: Key(1)] double BusySeconds,
    [property: Key(2)] double WaitSeconds,
    [property: Key(3)] int DiscardedActions = 0,
    [property: Key(4)] double ExposedSeconds = 0,
    [property: Key(5)] long ExchangedBytes = 0)
{
    /// <summary>Neither in actions nor waiting for inputs: with the two it makes up the step.</summary>
    [IgnoreMember]
    public double OwnSeconds => Seconds - BusySeconds - WaitSeconds;

    /// <summary>Share of the time in which no action ran.</summary>
    [IgnoreMember]
    public double Bubble => Seconds > 0 ? Math.Max(0, 1 - BusySeconds / Seconds) : 0;
}

/// <summary>One executed action on a rank's time line.</summary>
/// <param name="Action">Text form, such as <c>1F3</c>.</param>
/// <param name="ReadyTicks">When its last input arrived, if the thread waited for it; else 0.</param>
/// <param name="StartTicks">Start, in 100 ns of the machine's monotonic clock.</param>
/// <param name="EndTicks">End.</param>
[MessagePackObject]
public sealed record ExecutedSpan(
    [property: Key(0)] string Action,
    [property: Key(1)] long ReadyTicks,
    [property: Key(2)] long StartTicks,
    [property: Key(3)] long EndTicks);

/// <summary>A file of a checkpoint as it lies on disk.</summary>
/// <param name="Name">Name inside the checkpoint's folder.</param>
/// <param name="ByteCount">Length.</param>
/// <param name="Hash">Hash of its content, in hexadecimal.</param>
/// <param name="Tensors">What it holds.</param>
[MessagePackObject]
public sealed record WrittenFile(
    [property: Key(0)] string Name,
    [property: Key(1)] long ByteCount,
    [property: Key(2)] string Hash,
    [property: Key(3)] IReadOnlyList<WrittenTensor> Tensors);

/// <summary>A tensor in a file of a checkpoint.</summary>
/// <param name="Name">Logical name.</param>
/// <param name="DataType">Element type as safetensors spells it.</param>
/// <param name="Shape">Dimensions.</param>
/// <param name="Hash">Hash of its bytes, in hexadecimal.</param>
[MessagePackObject]
public sealed record WrittenTensor(
    [property: Key(0)] string Name,
    [property: Key(1)] string DataType,
    [property: Key(2)] IReadOnlyList<long> Shape,
    [property: Key(3)] string Hash);
