namespace Pipeline.Protocol.Wire;

/// <summary>
/// A message that may cross processes: it is bound to <see cref="WireSerializer"/>, stands in its manifest table and survives a round
/// trip. Messages that stay inside a process implement Akka's <c>INoSerializationVerificationNeeded</c> instead.
/// </summary>
#pragma warning disable CA1040 // The binding of Akka's serializers goes by a marker type.
public interface IWireMessage;
#pragma warning restore CA1040
