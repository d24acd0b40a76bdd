using CsCheck;
using Pipeline.Protocol;
using Pipeline.Protocol.Frames;
using Pipeline.Protocol.Wire;
using static Pipeline.Protocol.CopyProtocol;
using static Pipeline.Protocol.Links.TunnelProtocol;
using static Pipeline.Protocol.NeighbourProtocol;
using static Pipeline.Protocol.NodeProtocol;
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

    private static readonly Gen<RunId> Runs = Gen.ULong.Select(run => new RunId(run));

    private static readonly Gen<NodeId> NodeIds = Gen.Select(Text, Long).Select((address, incarnation) => new NodeId(address, incarnation));

    private static readonly Gen<CopyId> Copies = Gen.Select(Runs, Generations, Number, Long).Select((run, generation, rank, step) => new CopyId(run, generation, rank, step));

    private static readonly Gen<HolderPlace> Holders = Gen.Select(NodeIds, Text, Text).Select((node, path, address) => new HolderPlace(node, path, address));

    private static readonly Gen<RankPlace> Places = Gen.Select(NodeIds, Text, Text, Gen.Null(Holders)).Select((node, path, address, holder) => new RankPlace(node, path, address, holder));

    private static readonly Gen<LentMemory> Lent = Gen.Select(Number, Number, Text, Long).Select((process, descriptor, name, use) => new LentMemory(process, descriptor, name, use));

    private static readonly Gen<StartingPoint> Starts = Gen.Select(Gen.Enum<StartKind>(), Long, Gen.Select(Copies, Gen.Null(Holders)).Select((copy, holder) => new CopySource(copy, holder)).Array[0, 3])
        .Select((kind, step, copies) => new StartingPoint(kind, step, copies, step % 2 == 0));

    private static readonly Gen<SettingChange> Changes = Gen.Select(Long, Gen.Int[0, 11], Gen.Double).Select((step, setting, value) => new SettingChange(step, (SettingKind)setting, value));

    private static readonly Gen<PipelineLayout> Layouts = Gen.Select(
            Gen.Select(Runs, Generations, Generations), Gen.Select(Number.Array[0, 5], Text), Places.Array[0, 4], Gen.Enum<TensorLinkKind>(),
            Gen.Select(Long, Long, Number, Changes.Array[0, 3]).Select((end, every, count, changes) => new StepCadence(end, every, count, changes)),
            Gen.Select(Gen.Enum<ProtectionKind>(), Number, Text).Select((kind, every, folder) => new ProtectionDuties(kind, every, folder)),
            Gen.Select(Text, Gen.Null(Gen.Select(Number, Number.Array[0, 3], Text).Select((first, counts, schedule) => new OtherReplicas(first, counts, schedule)).Array[0, 2])))
        .Select((ids, parts, places, links, cadence, protection, last) =>
            new PipelineLayout(ids.Item1, ids.Item2, ids.Item3, parts.Item1, parts.Item2, places, links, cadence, protection, last.Item1, last.Item2));

    private static readonly Gen<AssignStage> Assignments = Gen.Select(Generations, Number, Layouts, Starts, Duties)
        .Select((generation, rank, layout, start, duties) => new AssignStage(generation, rank, layout, start, duties));

    private static readonly Gen<NodeInfo> Nodes = Gen.Select(Gen.Select(NodeIds, Text, Text.Array[0, 3]), Text, Number, Gen.Select(Long, Real), Text, Text)
        .Select((who, device, threads, able, host, links) => new NodeInfo(who.Item1, who.Item2, who.Item3, device, threads, able.Item1, able.Item2, host, links));

    private static readonly Gen<LinkLine> Links = Gen.Select(Gen.Select(Text, Text, Text, Text), Number, Number, Gen.Bool, Long, Long)
        .Select((words, from, to, isConnected, sent, credits) => new LinkLine(words.Item1, words.Item2, words.Item3, words.Item4, from, to, isConnected, sent, credits, sent, credits, from));

    private static readonly Gen<PlatformFingerprint> Platforms = Gen.Select(Text, Number, Text, Text.Array[0, 3], Text, Text)
        .Select((build, wire, processor, features, runtime, library) => new PlatformFingerprint(build, wire, processor, features, runtime, library));

    private static readonly Gen<MeasuredUnits> Costs = Gen.Select(Text, Real, Real, Gen.Select(Number, Gen.Select(Text, Gen.Select(Real, Real, Real), Long)
            .Select((name, times, bytes) => new MeasuredUnit(name, times.Item1, times.Item2, times.Item3, times.Item1, times.Item2, times.Item3, bytes, bytes / 2, bytes / 3, bytes / 4, bytes / 5, bytes / 6)).Array[0, 3])
            .Select((size, units) => new MeasuredSize(size, units)).Array[0, 3])
        .Select((precision, overhead, latency, sizes) => new MeasuredUnits(precision, overhead, latency, sizes));

    private static readonly Gen<SharedSetting> Shared = Gen.Select(Text, Text).Select((key, value) => new SharedSetting(key, value));

    private static readonly Gen<HostedStage> Hosted = Gen.Select(Number, Generations, Generations, Long, Long, Gen.Bool, Text)
        .Select((rank, generation, partitioned, step, granted, isEnded, awaits) => new HostedStage(rank, generation, partitioned, step, granted, step, isEnded, awaits, awaits, awaits, step / 7.0));

    private static readonly Gen<WrittenFile> Files = Gen.Select(Text, Long, Text, Gen.Select(Text, Text, Long.Array[0, 3], Text)
            .Select((name, type, shape, hash) => new WrittenTensor(name, type, shape, hash)).Array[0, 3])
        .Select((name, length, hash, tensors) => new WrittenFile(name, length, hash, tensors));

    private static readonly Gen<(StepTiming Timing, ParameterDigest[] Digests, ExecutedSpan[] Spans)> Records = Gen.Select(
        Gen.Select(Real, Real, Real, Gen.Int).Select((all, busy, wait, discarded) => new StepTiming(all, busy, wait, discarded)),
        Gen.Select(Text, Text, Text, Gen.Null(Text), Gen.Int).Select((unit, name, hash, moment, index) => new ParameterDigest(unit, name, hash, moment, moment, index)).Array[0, 3],
        Gen.Select(Text, Long, Long, Long).Select((action, ready, start, end) => new ExecutedSpan(action, ready, start, end)).Array[0, 3]);

    internal static readonly Gen<TensorFrame> Frames = Gen.Select(
            Steps, Gen.Int[0, 9], Gen.Int[0, 99], Gen.Int[0, 3], Gen.Enum<FrameKind>(),
            Gen.Select(Gen.Enum<FrameDataType>(), Gen.Long[1, 5].Array[0, 4])
                .Select((type, shape) => new FrameTensor(type, shape, FrameTensor.SizeOf(type) * shape.Aggregate(1L, (a, b) => a * b))).Array[0, 3])
        .SelectMany((step, edge, microBatch, slice, kind, tensors) => Gen.Select(Gen.Byte.Array[(int)TensorFrame.BlockLength(tensors)], Gen.ULong)
            .Select((bytes, span) => new TensorFrame(new FrameKey(step, edge, microBatch, slice, kind), tensors, bytes, span)));

    private static readonly Gen<OperatorProtocol.SubmitRun> Submissions = Gen.Select(Text, Text, Long, Number, Text, Gen.Bool).Select(
        (configuration, directory, step, count, start, isLocked) => new OperatorProtocol.SubmitRun(configuration, directory, step, count, start, isLocked));

    internal static readonly IReadOnlyDictionary<Type, Gen<IWireMessage>> ByType = new Dictionary<Type, Gen<IWireMessage>>
    {
        [typeof(AssignStage)] = Assignments.Select(assignment => (IWireMessage)assignment),
        [typeof(Regenerate)] = Gen.Select(Generations, Number, Layouts, Long.Array[0, 4]).Select((generation, rank, layout, steps) =>
            (IWireMessage)new Regenerate(generation, rank, layout, steps)),
        [typeof(GrantSteps)] = Gen.Select(Generations, Long, Long, Long, Long, Number, Gen.Select(Long, Long)).Select((generation, through, recorded, evaluated, kept, hold, steps) =>
            (IWireMessage)new GrantSteps(generation, through, recorded, evaluated, kept, hold, steps.Item1, steps.Item2)),
        [typeof(HoldSteps)] = Gen.Select(Generations, Number).Select((generation, number) => (IWireMessage)new HoldSteps(generation, number)),
        [typeof(StepsHeld)] = Gen.Select(Generations, Number, Number, Long).Select((generation, rank, number, begun) => (IWireMessage)new StepsHeld(generation, rank, number, begun)),
        [typeof(StageAssigned)] = Gen.Select(Generations, Number).Select((generation, rank) => (IWireMessage)new StageAssigned(generation, rank)),
        [typeof(CopyStored)] = Gen.Select(Generations, Number, Long, Gen.Select(NodeIds, Gen.Bool).Select((node, isThere) => isThere ? node : (NodeId?)null)).Select((generation, rank, step, node) => (IWireMessage)new CopyStored(generation, rank, step, node)),
        [typeof(HostStage)] = Gen.Select(Runs, Generations, Number.Array[0, 3], Assignments).Select((run, generation, ranks, assignment) => (IWireMessage)new HostStage(run, generation, ranks, assignment)),
        [typeof(ReportHosted)] = Gen.Select(Runs, Generations).Select((run, generation) => (IWireMessage)new ReportHosted(run, generation)),
        [typeof(ReleaseStages)] = Gen.Select(Runs, Generations, Number.Array[0, 3]).Select((run, generation, ranks) => (IWireMessage)new ReleaseStages(run, generation, ranks)),
        [typeof(Fenced)] = Gen.Select(Runs, Generations, NodeIds).Select((run, generation, node) => (IWireMessage)new Fenced(run, generation, node)),
        [typeof(NodeBeat)] = Gen.Select(NodeIds, Generations).Select((node, generation) => (IWireMessage)new NodeBeat(node, generation)),
        [typeof(PeerUnreachable)] = Gen.Select(NodeIds, NodeIds, Text).Select((node, suspect, reason) => (IWireMessage)new PeerUnreachable(node, suspect, reason)),
        [typeof(HostedReport)] = Gen.Select(NodeIds, Nodes, Generations, Hosted.Array[0, 3], Copies.Array[0, 3]).Select((node, info, generation, stages, copies) =>
            (IWireMessage)new HostedReport(node, info, generation, stages, copies)),
        [typeof(OfferCopy)] = Gen.Select(Copies, Gen.Select(Text, Text, Long.Array[0, 3]).Select((name, type, shape) => new CopyTensor(name, type, shape)).Array[0, 3], Long, Gen.ULong, Gen.Null(Lent))
            .Select((copy, tensors, count, sum, memory) => (IWireMessage)new OfferCopy(copy, tensors, count, sum, memory)),
        [typeof(CopyChunk)] = Gen.Select(Copies, Long, Gen.Byte.Array[0, 60]).Select((copy, offset, bytes) => (IWireMessage)new CopyChunk(copy, offset, bytes)),
        [typeof(CopyReceived)] = Gen.Select(Copies, Long, Text, Number, Gen.Null(Text.Array[0, 3])).Select((copy, count, links, inlet, mapped) => (IWireMessage)new CopyReceived(copy, count, links, inlet, mapped)),
        [typeof(FetchCopy)] = Copies.Select(copy => (IWireMessage)new FetchCopy(copy)),
        [typeof(CopyMissing)] = Copies.Select(copy => (IWireMessage)new CopyMissing(copy)),
        [typeof(SaveCheckpoint)] = Gen.Select(Generations, Long, Number, Number).Select((generation, step, attempt, hold) => (IWireMessage)new SaveCheckpoint(generation, step, attempt, hold)),
        [typeof(EndAfterStep)] = Generations.Select(generation => (IWireMessage)new EndAfterStep(generation)),
        [typeof(StopStage)] = Generations.Select(generation => (IWireMessage)new StopStage(generation)),
        [typeof(StageReady)] = Gen.Select(Generations, Number, Long).Select((generation, rank, count) => (IWireMessage)new StageReady(generation, rank, count)),
        [typeof(StepCompleted)] = Gen.Select(Generations, Number, Long, Outcomes, Real, Records, Long).Select((generation, rank, step, totals, rate, records, live) =>
            (IWireMessage)new StepCompleted(generation, rank, step, totals, rate, records.Timing, live, records.Digests, records.Spans, (ulong)live)),
        [typeof(HeldOutEvaluated)] = Gen.Select(Generations, Number, Long, Real, Long).Select((generation, rank, step, loss, tokens) =>
            (IWireMessage)new HeldOutEvaluated(generation, rank, step, loss, tokens)),
        [typeof(CheckpointPartWritten)] = Gen.Select(Generations, Number, Long, Files.Array[0, 2]).Select((generation, rank, step, files) =>
            (IWireMessage)new CheckpointPartWritten(generation, rank, step, rank, files)),
        [typeof(CheckpointPartFailed)] = Gen.Select(Generations, Number, Long, Text).Select((generation, rank, step, text) =>
            (IWireMessage)new CheckpointPartFailed(generation, rank, step, rank, text)),
        [typeof(StageFailed)] = Gen.Select(Generations, Number, Long, Text, Text, Gen.Enum<StageFailureKind>(), Text).Select((generation, rank, step, action, text, kind, detail) =>
            (IWireMessage)new StageFailed(generation, rank, rank, step, action, text, kind, detail)),
        [typeof(StageStopped)] = Gen.Select(Generations, Number).Select((generation, rank) => (IWireMessage)new StageStopped(generation, rank)),
        [typeof(FlightProtocol.ReportFlight)] = Gen.Select(Generations, Long).Select((generation, request) => (IWireMessage)new FlightProtocol.ReportFlight(generation, request)),
        [typeof(FlightProtocol.FlightReported)] = Gen.Select(Generations, Number, Long, Text, Gen.Select(Long, Gen.Enum<FlightKind>(), Text, Number)
            .Select((age, kind, subject, peer) => new FlightEntry(age, kind, subject, peer)).Array[0, 3]).Select((generation, rank, step, doing, entries) =>
            (IWireMessage)new FlightProtocol.FlightReported(generation, rank, step, new RankFlight(rank, step, doing, rank, entries))),
        [typeof(SquaredNorms)] = Gen.Select(Steps, Number, Real.Array[0, 9], Real.Array[0, 9], Long, Number, Gen.Null(Outcomes)).Select((step, stage, squares, losses, tokens, microBatch, known) =>
            (IWireMessage)new SquaredNorms(step, stage, squares, losses, tokens, microBatch, known, (ulong)tokens)),
        [typeof(StepTotals)] = Gen.Select(Steps, Outcomes, Long).Select((step, outcome, span) => (IWireMessage)new StepTotals(step, outcome, (ulong)span)),
        [typeof(OperatorProtocol.SubmitRun)] = Submissions.Select(submission => (IWireMessage)submission),
        [typeof(OperatorProtocol.EndRun)] = Gen.Const((IWireMessage)new OperatorProtocol.EndRun()),
        [typeof(OperatorProtocol.RebalanceRun)] = Gen.Const((IWireMessage)new OperatorProtocol.RebalanceRun()),
        [typeof(OperatorProtocol.ReportDead)] = Gen.Select(Text, Number).Select((name, process) => (IWireMessage)new OperatorProtocol.ReportDead(name, process)),
        [typeof(OperatorProtocol.Vacate)] = NodeIds.Select(node => (IWireMessage)new OperatorProtocol.Vacate(node)),
        [typeof(OperatorProtocol.AskStatus)] = Gen.Const((IWireMessage)new OperatorProtocol.AskStatus()),
        [typeof(OperatorProtocol.Answer)] = Gen.Select(Gen.Bool, Text).Select((isDone, sentence) => (IWireMessage)new OperatorProtocol.Answer(isDone, sentence)),
        [typeof(OperatorProtocol.RunCommand)] = Gen.Select(Text, Text, Text).Select((line, who, id) => (IWireMessage)new OperatorProtocol.RunCommand(line, who, id)),
        [typeof(OperatorProtocol.CompleteCommand)] = Text.Select(line => (IWireMessage)new OperatorProtocol.CompleteCommand(line)),
        [typeof(OperatorProtocol.AuditRefusal)] = Gen.Select(Text, Text).Select((source, reason) => (IWireMessage)new OperatorProtocol.AuditRefusal(source, reason)),
        [typeof(OperatorProtocol.CommandAnswered)] = Gen.Select(Gen.Bool, Text, Text, Gen.Bool)
            .Select((isDone, text, json, asks) => (IWireMessage)new OperatorProtocol.CommandAnswered(isDone, text, json, asks)),
        [typeof(OperatorProtocol.ClusterStatus)] = Gen.Select(
                Gen.Select(Text, Number, Text.Array[0, 3], Text, Text, Gen.Bool).Select((name, process, roles, address, host, leads) => new NodeLine(name, process, roles, address, host, leads, host, process, process, process / 7.0)).Array[0, 3],
                Gen.Select(Number, Text, Text, Number, Long).Select((rank, node, holder, units, step) => new StageLine(rank, node, holder, units, step)).Array[0, 3], Number, Long, Text, Text, Links.Array[0, 3])
            .Select((nodes, stages, generation, step, phase, directory, links) => (IWireMessage)new OperatorProtocol.ClusterStatus(nodes, stages, generation, step, phase, directory, step, links)),
        [typeof(MembershipProtocol.DescribeLinks)] = Gen.Const((IWireMessage)new MembershipProtocol.DescribeLinks()),
        [typeof(MembershipProtocol.LinksDescribed)] = Gen.Select(Links.Array[0, 3], Gen.Null(Gen.Select(Real, Long).Select((seconds, bytes) => new NodeLoad(seconds, bytes)))).Select((links, load) => (IWireMessage)new MembershipProtocol.LinksDescribed(links, load)),
        [typeof(MembershipProtocol.DescribeNode)] = Gen.Const((IWireMessage)new MembershipProtocol.DescribeNode()),
        [typeof(MembershipProtocol.NodeDescribed)] = Gen.Select(Text, Number, Text, Nodes, Gen.Null(Submissions), Platforms, Shared.Array[0, 3]).Select((name, process, control, info, run, platform, shared) =>
            (IWireMessage)new MembershipProtocol.NodeDescribed(name, process, control, info, run, platform, shared)),
        [typeof(MembershipProtocol.ClusterStanding)] = Gen.Select(Text, Text, Text.Array[0, 3], Text.Array[0, 3], Gen.Bool, Long, Gen.Bool).Select((name, address, members, seeds, isAtRun, since, isAnswer) =>
            (IWireMessage)new MembershipProtocol.ClusterStanding(name, address, members, seeds, isAtRun, since, isAnswer)),
        [typeof(MembershipProtocol.NotAdmitted)] = Text.Select(reason => (IWireMessage)new MembershipProtocol.NotAdmitted(reason)),
        [typeof(MembershipProtocol.AnnounceRun)] = Submissions.Select(submission => (IWireMessage)new MembershipProtocol.AnnounceRun(submission)),
        [typeof(MembershipProtocol.ForgetRun)] = Text.Select(start => (IWireMessage)new MembershipProtocol.ForgetRun(start)),
        [typeof(ProfileProtocol.ProfileNodes)] = Gen.Select(Text, Text, Number.Array[0, 3], Real, Gen.Select(Text, Number).Select((address, count) => new ProfiledNode(address, count)).Array[0, 3])
            .Select((id, configuration, sizes, seconds, nodes) => (IWireMessage)new ProfileProtocol.ProfileNodes(id, configuration, sizes, seconds, nodes)),
        [typeof(ProfileProtocol.ProfileStanding)] = Gen.Select(Gen.Bool, Text, Gen.Select(Text, Text, Text).Select((address, phase, sentence) => new NodeStanding(address, phase, sentence)).Array[0, 3])
            .Select((isDone, sentence, nodes) => (IWireMessage)new ProfileProtocol.ProfileStanding(isDone, sentence, nodes)),
        [typeof(ProfileProtocol.FetchProfile)] = Gen.Select(Text, Text).Select((id, address) => (IWireMessage)new ProfileProtocol.FetchProfile(id, address)),
        [typeof(ProfileProtocol.MeasureUnits)] = Gen.Select(Text, Text, Number.Array[0, 3], Real, Number)
            .Select((id, configuration, sizes, seconds, count) => (IWireMessage)new ProfileProtocol.MeasureUnits(id, configuration, sizes, seconds, count)),
        [typeof(ProfileProtocol.UnitsMeasured)] = Gen.Select(Text, Text, Gen.Null(Costs), Text).Select((id, address, costs, fault) => (IWireMessage)new ProfileProtocol.UnitsMeasured(id, address, costs, fault)),
        [typeof(OpenTunnel)] = Gen.ULong.Select(tunnel => (IWireMessage)new OpenTunnel(tunnel)),
        [typeof(TunnelOpened)] = Gen.ULong.Select(tunnel => (IWireMessage)new TunnelOpened(tunnel)),
        [typeof(TunnelChunk)] = Gen.Select(Long, Gen.Byte.Array[0, 60]).Select((number, bytes) => (IWireMessage)new TunnelChunk(number, bytes)),
        [typeof(TunnelReceipt)] = Long.Select(number => (IWireMessage)new TunnelReceipt(number)),
        [typeof(CloseTunnel)] = Gen.Const((IWireMessage)new CloseTunnel()),
        [typeof(TensorFrame)] = Frames.Select(frame => (IWireMessage)frame),
    };
}
