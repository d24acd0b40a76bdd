using System.Buffers.Binary;
using System.Diagnostics;
using System.IO.Hashing;

namespace Pipeline.Protocol;

/// <summary>
/// Which trace the work of a step belongs to, in the sense of W3C Trace Context. Its identifier follows from run and step, so that every process knows
/// it; what travels beside a tensor is the span that it was sent from, as a number, 0 for none. Pure.
/// </summary>
public static class StepTraces
{
    /// <summary>Name of the activity source of ranks.</summary>
    public const string RankSource = "Pipeline.Stage";

    /// <summary>The trace of a step.</summary>
    public static ActivityTraceId TraceOf(RunId run, long step)
    {
        Span<byte> name = stackalloc byte[16];
        BinaryPrimitives.WriteUInt64LittleEndian(name, run.Value);
        BinaryPrimitives.WriteInt64LittleEndian(name[8..], step);
        Span<byte> id = stackalloc byte[16];
        XxHash128.Hash(name, id);
        return ActivityTraceId.CreateFromBytes(id);
    }

    /// <summary>What a span of a step follows from.</summary>
    /// <param name="run">Run.</param>
    /// <param name="step">Step.</param>
    /// <param name="span">The span of whoever sent what it began with; 0 where nobody did.</param>
    public static ActivityContext ContextOf(RunId run, long step, ulong span)
    {
        Span<byte> id = stackalloc byte[8];
        BinaryPrimitives.WriteUInt64BigEndian(id, span);
        return new ActivityContext(TraceOf(run, step), span == 0 ? default : ActivitySpanId.CreateFromBytes(id), ActivityTraceFlags.Recorded, isRemote: true);
    }

    /// <summary>A span as a number.</summary>
    public static ulong NumberOf(ActivitySpanId span)
    {
        Span<byte> id = stackalloc byte[8];
        span.CopyTo(id);
        return BinaryPrimitives.ReadUInt64BigEndian(id);
    }
}
