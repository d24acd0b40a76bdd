using Akka.Actor;
using Akka.Event;

namespace Pipeline.Stages;

/// <summary>Frees tensors that were handed to an actor which had stopped: they would lie in dead letters for ever.</summary>
public sealed class StrayTensors : ReceiveActor
{
    /// <summary>Called by the actor system; see <see cref="Props"/>.</summary>
    public StrayTensors()
    {
        Receive<AllDeadLetters>(letter =>
        {
            (letter.Message as TensorHandover)?.Tensor.Dispose();
            (letter.Message as TensorReceived)?.Tensor.Dispose();
        });
        Receive<Retire>(_ => Context.Stop(Self));
    }

    /// <summary>How to make one; one is enough for an actor system.</summary>
    public static Props Props() => Akka.Actor.Props.Create(() => new StrayTensors());

    /// <inheritdoc/>
    protected override void PreStart() => Context.System.EventStream.Subscribe(Self, typeof(AllDeadLetters));

    /// <inheritdoc/>
    protected override void PostStop() => Context.System.EventStream.Unsubscribe(Self);

    /// <summary>Asks it to stop once it has freed what has come so far.</summary>
    public sealed record Retire : INoSerializationVerificationNeeded;
}
