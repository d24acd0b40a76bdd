using Akka.Actor;
using Akka.Configuration;
using Akka.Dispatch.MessageQueues;
using Xunit;

namespace Pipeline.Tests.Nodes;

/// <summary>The simulated clock stands while anything is counted: what is counted must be taken away again, whenever an actor ends.</summary>
public sealed class NetworkMailboxTests : IDisposable
{
    private readonly ActorSystem _system = ActorSystem.Create("mailbox-test", ConfigurationFactory.ParseString("akka.loglevel = OFF"));
    private readonly SimulatedNetwork _network = new(1);

    public NetworkMailboxTests() => _network.Attach(_system.Name);

    public void Dispose()
    {
        SimulatedNetwork.Detach(_system.Name);
        _system.Dispose();
    }

    [Fact]
    public void What_is_told_to_an_actor_that_has_just_ended_is_counted_as_waiting_by_nobody()
    {
        var queue = new NetworkMailbox(_system.Settings, Config.Empty).Create(ActorRefs.Nobody, _system);
        Assert.True(_network.IsBusy);
        Tell("before");
        queue.CleanUp(ActorRefs.Nobody, new UnboundedMessageQueue());
        Assert.False(_network.IsBusy);
        // A sender that had looked the mailbox up before the actor ended.
        Tell("after");
        Assert.False(_network.IsBusy);
        Assert.Equal(1, _network.Activity);

        void Tell(string message) => queue.Enqueue(ActorRefs.Nobody, new Envelope(message, ActorRefs.NoSender));
    }

    [Fact]
    public void An_actor_is_at_work_from_a_message_that_it_takes_until_its_thread_asks_for_the_next()
    {
        var queue = new NetworkMailbox(_system.Settings, Config.Empty).Create(ActorRefs.Nobody, _system);
        Assert.False(queue.TryDequeue(out _));
        Assert.False(_network.IsBusy);
        queue.Enqueue(ActorRefs.Nobody, new Envelope("one", ActorRefs.NoSender));
        Assert.True(queue.TryDequeue(out _));
        Assert.True(_network.IsBusy);
        Assert.False(queue.HasMessages);
        Assert.False(_network.IsBusy);
    }
}
