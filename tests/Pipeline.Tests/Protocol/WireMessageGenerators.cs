using CsCheck;
using Pipeline.Protocol;
using Pipeline.Protocol.Frames;
using Pipeline.Protocol.Wire;
using static Pipeline.Protocol.NeighbourProtocol;
using static Pipeline.Protocol.StageProtocol;

namespace Pipeline.Tests.Protocol;

/// <summary>A generator of each wire message; a message without one fails the round-trip test.</summary>
internal static class WireMessageGenerators
{
    private static readonly Gen<string> Text = Gen.String;
    private static readonly Gen<int> Number = Gen.Int;
    private static readonly Gen<long> Long = Gen.Long;
    private static readonly Gen<double> Real = Gen.Double;
    private static readonly Gen<Generation> Generations = Number.Select(number => new Generation(number));
    private static readonly Gen<StepKey> Steps = Gen.Select(Gen.ULong, Generations, Gen.Int[0, 9], Gen.Long[0, long.MaxValue])
        .Select((run, generation, attempt, step) => new StepKey(new RunId(run), generation, attempt, step));

    private static readonly Gen<StepOutcome> Outcomes = Gen.Select(Real, Long, Real, Gen.Enum<StepVerdict>(), Number, Gen.Bool)
        .Select((loss, tokens, norm, verdict, microBatch, isLast) => new StepOutcome(loss, tokens, norm, verdict, microBatch, isLast));

    private static readonly Gen<RecordingDuties> Duties = Gen.Select(Number, Long, Long).Select((every, from, through) => new RecordingDuties(every, from, through));

    private static readonly Gen<PipelineLayout> Layouts = Gen.Select(Gen.ULong, Generations, Number.Array[0, 5], Text, Text.Array[0, 4], Gen.Enum<TensorLinkKind>(), Text)
        .Select((run, generation, counts, schedule, paths, links, configuration) =>
            new PipelineLayout(new RunId(run), generation, counts, schedule, paths, links, configuration));

    private static readonly Gen<WrittenFile> Files = Gen.Select(Text, Long, Text, Gen.Select(Text, Text, Long.Array[0, 3], Text)
            .Select((name, type, shape, hash) => new WrittenTensor(name, type, shape, hash)).Array[0, 3])
        .Select((name, length, hash, tensors) => new WrittenFile(name, length, hash, tensors));

    private static readonly Gen<(StepTiming Timing, ParameterDigest[] Digests, ExecutedSpan[] Spans)> Records = Gen.Select(
        Gen.Select(Real, Real, Real).Select((all, busy, wait) => new StepTiming(all, busy, wait)),
        Gen.Select(Text, Text, Text, Gen.Null(Text), Gen.Int).Select((unit, name, hash, moment, index) => new ParameterDigest(unit, name, hash, moment, moment, index)).Array[0, 3],
        Gen.Select(Text, Long, Long, Long).Select((action, ready, start, end) => new ExecutedSpan(action, ready, start, end)).Array[0, 3]);

    internal static readonly Gen<TensorFrame> Frames = Gen.Select(
            Steps, Gen.Int[0, 9], Gen.Int[0, 99], Gen.Int[0, 3], Gen.Enum<FrameKind>(),
            Gen.Select(Gen.Enum<FrameDataType>(), Gen.Long[1, 5].Array[0, 4])
                .Select((type, shape) => new FrameTensor(type, shape, FrameTensor.SizeOf(type) * shape.Aggregate(1L, (a, b) => a * b))).Array[0, 3])
        .SelectMany((step, edge, microBatch, slice, kind, tensors) => Gen.Byte.Array[(int)TensorFrame.BlockLength(tensors)]
            .Select(bytes => new TensorFrame(new FrameKey(step, edge, microBatch, slice, kind), tensors, bytes)));

    internal static readonly IReadOnlyDictionary<Type, Gen<IWireMessage>> ByType = new Dictionary<Type, Gen<IWireMessage>>
    {
        [typeof(AssignStage)] = Gen.Select(Generations, Number, Layouts, Long, Duties).Select((generation, rank, layout, step, duties) =>
            (IWireMessage)new AssignStage(generation, rank, layout, step, duties)),
        [typeof(GrantSteps)] = Gen.Select(Generations, Long, Long).Select((generation, from, through) => (IWireMessage)new GrantSteps(generation, from, through)),
        [typeof(EvaluateHeldOut)] = Gen.Select(Generations, Long, Number).Select((generation, step, count) => (IWireMessage)new EvaluateHeldOut(generation, step, count)),
        [typeof(SaveCheckpoint)] = Gen.Select(Generations, Long, Number).Select((generation, step, attempt) => (IWireMessage)new SaveCheckpoint(generation, step, attempt)),
        [typeof(EndAfterStep)] = Generations.Select(generation => (IWireMessage)new EndAfterStep(generation)),
        [typeof(StopStage)] = Generations.Select(generation => (IWireMessage)new StopStage(generation)),
        [typeof(StageReady)] = Gen.Select(Generations, Number, Long).Select((generation, rank, count) => (IWireMessage)new StageReady(generation, rank, count)),
        [typeof(StepCompleted)] = Gen.Select(Generations, Number, Long, Outcomes, Real, Records, Long).Select((generation, rank, step, totals, rate, records, live) =>
            (IWireMessage)new StepCompleted(generation, rank, step, totals, rate, records.Timing, live, records.Digests, records.Spans)),
        [typeof(HeldOutEvaluated)] = Gen.Select(Generations, Number, Long, Real, Long).Select((generation, rank, step, loss, tokens) =>
            (IWireMessage)new HeldOutEvaluated(generation, rank, step, loss, tokens)),
        [typeof(CheckpointPartWritten)] = Gen.Select(Generations, Number, Long, Files.Array[0, 2]).Select((generation, rank, step, files) =>
            (IWireMessage)new CheckpointPartWritten(generation, rank, step, rank, files)),
        [typeof(CheckpointPartFailed)] = Gen.Select(Generations, Number, Long, Text).Select((generation, rank, step, text) =>
            (IWireMessage)new CheckpointPartFailed(generation, rank, step, rank, text)),
        [typeof(StageFailed)] = Gen.Select(Generations, Number, Long, Text, Text, Gen.Enum<StageFailureKind>(), Text).Select((generation, rank, step, action, text, kind, detail) =>
            (IWireMessage)new StageFailed(generation, rank, rank, step, action, text, kind, detail)),
        [typeof(StageStopped)] = Gen.Select(Generations, Number).Select((generation, rank) => (IWireMessage)new StageStopped(generation, rank)),
        [typeof(SquaredNorms)] = Gen.Select(Steps, Number, Real.Array[0, 9], Real, Long, Number).Select((step, stage, squares, loss, tokens, microBatch) =>
            (IWireMessage)new SquaredNorms(step, stage, squares, loss, tokens, microBatch)),
        [typeof(StepTotals)] = Gen.Select(Steps, Outcomes).Select((step, outcome) => (IWireMessage)new StepTotals(step, outcome)),
        [typeof(TensorFrame)] = Frames.Select(frame => (IWireMessage)frame),
    };
}
