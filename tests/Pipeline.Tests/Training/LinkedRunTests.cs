using Akka.Actor;
using Pipeline.Coordinator;
using Pipeline.Model;
using Pipeline.Protocol;
using Pipeline.Protocol.Links;
using Pipeline.Protocol.Wire;
using Pipeline.Stages;
using Pipeline.Tests.Protocol.Links;
using Pipeline.Training;
using Xunit;

namespace Pipeline.Tests.Training;

/// <summary>Stages that each have a hub of their own, as if in processes of their own: tensors travel over real sockets, the bits stay.</summary>
[Collection(PipelineCollection.Name)]
public sealed class LinkedRunTests(PipelineFixture fixture)
{
    [Theory]
    [InlineData(LinkKind.Unix, Precision.Fp32)]
    [InlineData(LinkKind.Unix, Precision.Bf16)]
    [InlineData(LinkKind.Tcp, Precision.Fp32)]
    [InlineData(LinkKind.Akka, Precision.Fp32)]
    public async Task Losses_weights_and_moments_are_those_of_the_unsplit_model_to_the_bit(LinkKind kind, Precision precision)
    {
        var plan = TinyRun.Plan(3, 4, precision: precision) with { Links = TensorLinkKind.Frames };
        LinkHub[] hubs = [.. Enumerable.Range(0, 3).Select(rank => LinkHub.Start(Options(kind, rank), _ => { }))];
        try
        {
            IReadOnlyList<string> addresses = [.. hubs.Select(hub => LinkAddressText.Of(hub.Address))];
            var (outcome, notices) = await PipelineFixture.RunAsync(fixture.Plain, plan, stages: (context, rank) =>
                context.ActorOf(Props.Create(() => new Addressed(PipelineRun.WorkloadOf(plan), hubs[rank], addresses)), $"stage-{rank}"));
            Assert.Equal(new RunOutcome(RunEnd.Completed, 5), outcome);
            TinyRun.AssertEqual(TinyRun.Reference(4, true, precision), notices.Steps);
            // Activations go on and gradients come back: each inner hub has received over links of the wanted kind.
            var received = hubs.SelectMany(hub => hub.Status).Where(status => status.Direction == LinkDirection.Incoming).ToArray();
            Assert.All(received, status => Assert.Equal(kind, status.Peer.Kind));
        }
        finally
        {
            foreach (var hub in hubs) hub.Dispose();
        }
    }

    private static LinkHubOptions Options(LinkKind kind, int rank) => TestLinks.Options($"node-{rank}") with
    {
        HasUnix = kind == LinkKind.Unix,
        TcpHost = kind == LinkKind.Tcp ? "127.0.0.1" : null,
        Tunnels = kind != LinkKind.Akka ? null : WireSetup.For(
            LinkHub.TunnelHocon.WithFallback("akka { loglevel = ERROR, stdout-loglevel = ERROR, remote.dot-netty.tcp { hostname = 127.0.0.1, port = 0 } }")),
    };

    /// <summary>Stands before a stage and puts the addresses of the hubs into its layout, as the coordinator of a cluster does.</summary>
    private sealed class Addressed : ReceiveActor
    {
        public Addressed(IStageWorkloadFactory factory, LinkHub hub, IReadOnlyList<string> addresses)
        {
            var stage = Context.ActorOf(StageActor.Props(factory, hub));
            Receive<StageProtocol.AssignStage>(assign => stage.Forward(assign with
            {
                Layout = assign.Layout with { Ranks = [.. assign.Layout.Ranks.Select((place, rank) => place with { LinkAddress = addresses[rank] })] },
            }));
            ReceiveAny(stage.Forward);
        }
    }
}
