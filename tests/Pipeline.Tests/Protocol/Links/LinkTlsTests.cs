using Pipeline.Protocol;
using Pipeline.Protocol.Links;
using Pipeline.Protocol.Security;
using Pipeline.Tests.Protocol.Security;
using Xunit;

namespace Pipeline.Tests.Protocol.Links;

public sealed class LinkTlsTests : IDisposable
{
    private readonly EventLog _events = new();
    private readonly RecordingSink _sink = new();
    private readonly TestAuthority _authority = new();
    private readonly PeerCredentials _own;
    private readonly LinkHub _hub;
    private readonly IDisposable _receiving;

    public LinkTlsTests()
    {
        _own = _authority.Credentials();
        _hub = LinkHub.Start(TestLinks.Options("b") with { Credentials = _own, HasUnix = false }, _events.Add);
        _receiving = _hub.Receive(LinkPurpose.Frames, TestLinks.Run, Generation.First, 1, _sink);
    }

    public void Dispose()
    {
        _receiving.Dispose();
        _hub.Dispose();
        _sink.Dispose();
        _own.Dispose();
        _authority.Dispose();
    }

    [Fact]
    public void Stages_with_certificates_of_the_run_exchange_frames_under_tls()
    {
        using var credentials = _authority.Credentials();
        using var sender = LinkHub.Start(TestLinks.Options("a") with { Credentials = credentials }, _ => { });
        using var link = sender.Open(_hub.Address, TestLinks.Claim(), LinkKindChoice.Automatic);
        Assert.Equal(LinkKind.Tls, link.Peer.Kind);
        for (var number = 0; number < 20; number++) link.Send(number, number * 5000 + 1);
        for (var number = 0; number < 20; number++) Assert.True(_sink.Take().Buffer.BytesOf(0).Span.SequenceEqual(TestLinks.Bytes(number, number * 5000 + 1)));
    }

    [Fact]
    public void A_bit_that_is_altered_under_tls_costs_a_connection_and_no_frame()
    {
        const int Frames = 20, Size = 50_000;
        // Well behind the handshake, once early and once in the middle of a frame.
        using FlippingProxy proxy = new(_hub.Address.TcpPort, 100_000, 333_333);
        using var credentials = _authority.Credentials();
        var events = new EventLog();
        using var sender = LinkHub.Start(TestLinks.Options("a") with { Credentials = credentials, HasUnix = false }, events.Add);
        using var link = sender.Open(_hub.Address with { TcpPort = proxy.Port }, TestLinks.Claim(), LinkKindChoice.Tcp);
        for (var number = 0; number < Frames; number++) link.Send(number, Size);
        for (var number = 0; number < Frames; number++)
        {
            var arrival = _sink.Take();
            Assert.Equal(number, arrival.Header.Key.MicroBatch);
            Assert.True(arrival.Buffer.BytesOf(0).Span.SequenceEqual(TestLinks.Bytes(number, Size)));
        }

        Assert.Equal(2, proxy.FlippedCount);
        Assert.Equal(0, _sink.WaitingCount);
        var raised = events.Rest();
        Assert.DoesNotContain(raised, one => one is LinkEnded);
        Assert.Contains(raised, one => one is LinkConnected { IsRestored: true });
    }

    [Fact]
    public void A_certificate_of_another_authority_is_refused()
    {
        using var other = new TestAuthority(name: "run-1");
        using var credentials = other.Credentials();
        Refused(credentials);
    }

    [Fact]
    public void An_operators_certificate_opens_no_link()
    {
        using var credentials = _authority.Credentials(PeerRoles.Operator);
        Refused(credentials);
    }

    [Fact]
    public void A_certificate_that_expires_ends_the_connection_that_it_opened()
    {
        var clock = new JumpingClock();
        using var judging = _authority.Credentials(_authority.Issue(TestAuthority.Order(days: 20)), time: clock);
        using var hub = LinkHub.Start(TestLinks.Options("c") with { Credentials = judging, HasUnix = false }, _events.Add);
        using var receiving = hub.Receive(LinkPurpose.Frames, TestLinks.Run, Generation.First, 1, _sink);
        using var credentials = _authority.Credentials();
        var ends = new EventLog();
        using var sender = LinkHub.Start(TestLinks.Options("a") with { Credentials = credentials, HasUnix = false }, ends.Add);
        using var link = sender.Open(hub.Address, TestLinks.Claim(), LinkKindChoice.Tcp);
        link.Send(1, 10);
        _sink.Take();
        clock.Jump(TimeSpan.FromDays(8));
        Assert.Equal(LinkVerdict.NotAuthenticated, ends.Expect<LinkEnded>().Verdict);
    }

    [Fact]
    public void A_node_without_certificates_does_not_get_in() => Refused(null);

    private void Refused(PeerCredentials? credentials)
    {
        using var sender = LinkHub.Start(TestLinks.Options("a") with { Credentials = credentials, HasUnix = false }, _events.Add);
        using var link = sender.Open(_hub.Address, TestLinks.Claim(), LinkKindChoice.Tcp);
        link.Send(1, 10);
        var warning = _events.Expect<LinkWarning>();
        Assert.Contains("not let in", warning.Text, StringComparison.Ordinal);
        Assert.Equal(0, _sink.RentedBytes);
    }

    private sealed class JumpingClock : TimeProvider
    {
        private long _ticks;

        public override DateTimeOffset GetUtcNow() => base.GetUtcNow() + TimeSpan.FromTicks(Interlocked.Read(ref _ticks));

        internal void Jump(TimeSpan ahead) => Interlocked.Add(ref _ticks, ahead.Ticks);
    }
}
