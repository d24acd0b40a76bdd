using System.Runtime.InteropServices;
using Akka.Actor;
using Pipeline.Protocol;
using Pipeline.Protocol.Frames;
using Pipeline.Protocol.Links;
using Pipeline.Schedules;
using Pipeline.Stages;
using Pipeline.Tests.Protocol.Links;
using Pipeline.Tests.Training;
using Pipeline.Training;
using TorchSharp;
using Xunit;

namespace Pipeline.Tests.Stages;

/// <summary>A rank that has lent its gradient when a neighbour is lost has no second one to spare.</summary>
[Collection(PipelineCollection.Name)]
public sealed class KeptLoanTests : IDisposable
{
    private const int Length = 8;
    private readonly LinkHub _near = LinkHub.Start(TestLinks.Options("near") with { TcpHost = null }, _ => { });
    private readonly LinkHub _far = LinkHub.Start(TestLinks.Options("far") with { TcpHost = null }, _ => { });
    private readonly RecordingSink _sink = new();

    public void Dispose()
    {
        _near.Dispose();
        _far.Dispose();
        _sink.Dispose();
    }

    [Fact]
    public async Task What_was_lent_is_copied_when_its_turn_to_be_sent_again_has_come_and_no_sooner()
    {
        ActorLinks links = new(0, ActorRefs.Nobody, new StageInbox(), Table(Generation.First), new FlightRecorder(), new KeptVolume(long.MaxValue));
        using var gradient = torch.arange(0, 3 * Length, dtype: torch.ScalarType.Float32);
        TensorLoan[] loans = [.. Enumerable.Range(0, 3).Select(bucket => links.Lend(1, Key(bucket), gradient.narrow(0, bucket * Length, Length), isAwaited: true)!)];
        var second = Generation.First.Next();
        var sent = links.Regenerate(Table(second), [0, 0]);
        // The rank takes no inputs yet, so that the first one is still to be received. Meanwhile the sum of the last one takes its place, as it does while others wait.
        links.Settle(loans[2], torch.full(Length, 100, dtype: torch.ScalarType.Float32));
        gradient.narrow(0, 2 * Length, Length).zero_();
        using var receiving = _far.Receive(LinkPurpose.Frames, TestLinks.Run, second, 1, _sink);
        Assert.Equal([0, 8, 100], Enumerable.Range(0, 3).Select(Arrived));
        await sent;
        links.Close();
    }

    [Fact]
    public async Task What_was_lent_is_not_sent_again_where_it_is_forgotten_or_another_generation_begins_before_its_turn()
    {
        ActorLinks links = new(0, ActorRefs.Nobody, new StageInbox(), Table(Generation.First), new FlightRecorder(), new KeptVolume(long.MaxValue));
        using var gradient = torch.arange(0, 3 * Length, dtype: torch.ScalarType.Float32);
        for (var bucket = 0; bucket < 3; bucket++) links.Lend(1, Key(bucket, step: bucket + 1), gradient.narrow(0, bucket * Length, Length), isAwaited: true);
        var (second, third) = (Generation.First.Next(), Generation.First.Next().Next());
        var former = links.Regenerate(Table(second), [0, 0]);
        var sent = links.Regenerate(Table(third), [0, 0]);
        // Ends though nobody has taken anything of its generation.
        await former;
        links.Forget(new StageProtocol.GrantSteps(third, 9, 2, 2, 2));
        using var receiving = _far.Receive(LinkPurpose.Frames, TestLinks.Run, third, 1, _sink);
        // The first one may have been under way before it was forgotten; of the second the turn had not come.
        List<float> arrived = [Arrived(0)];
        while (arrived[^1] < 16) arrived.Add(Arrived(0));
        Assert.DoesNotContain(8, arrived);
        await sent;
        Assert.Equal(0, _sink.WaitingCount);
        links.Close();
    }

    private float Arrived(int _)
    {
        var frame = _sink.Take();
        using (frame.Buffer) return MemoryMarshal.Cast<byte, float>(frame.Buffer.BytesOf(0).Span)[0];
    }

    private LinkTable Table(Generation generation)
    {
        var layout = RunLayout.For(TinyRun.Plan(1, 2) with { ReplicaCount = 2 });
        PipelineLayout pipeline = new(TestLinks.Run, generation, Generation.First, layout.UnitCounts, ScheduleText.Format(layout.Schedule),
            [Place("near", _near), Place("far", _far)], TensorLinkKind.Automatic, new StepCadence(9, 0, 1), ProtectionDuties.None, "");
        return new LinkTable(0, pipeline, ActorRefs.Nobody, _ => ActorRefs.Nobody, new RankLinks(_near, 0, pipeline, ActorRefs.Nobody, new StageInbox()));
    }

    private static RankPlace Place(string node, LinkHub hub) => new(new NodeId(node, 1), "", LinkAddressText.Of(hub.Address), null);

    private static FrameKey Key(int bucket, long step = 1) => new(new StepKey(TestLinks.Run, Generation.None, 0, step), bucket, 0, 0, FrameKind.GradientContribution);
}
