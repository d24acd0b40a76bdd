using System.Runtime.Serialization;
using Akka.Actor;
using CsCheck;
using Pipeline.Protocol;
using Pipeline.Protocol.Frames;
using Pipeline.Protocol.Wire;
using Xunit;
using static Pipeline.Protocol.NodeProtocol;

namespace Pipeline.Tests.Protocol;

/// <summary>
/// Whatever bytes come under the manifest of a message, they end in a whole message or are refused, in memory of the order of their own. See <see cref="FuzzCases"/>.
/// </summary>
public sealed class MessageFuzzTests : IDisposable
{
    private const int ValidPerType = 3;

    /// <summary>Wrapped exceptions of nested readers, or lists of a byte an item, of at most some thousand bytes.</summary>
    private const long MaxAllocation = 1 << 20;

    private readonly ActorSystem _system = ActorSystem.Create("wire-fuzz", WireSetup.For("akka { loglevel = ERROR, stdout-loglevel = ERROR }"));

    private WireSerializer Serializer => Assert.IsType<WireSerializer>(_system.Serialization.FindSerializerForType(typeof(TensorFrame)));

    public void Dispose() => _system.Terminate().Wait(TimeSpan.FromSeconds(10));

    [Fact]
    public void Messages_end_in_a_whole_value_that_can_be_sent_again_or_are_refused()
    {
        var serializer = Serializer;
        var valid = WireMessageGenerators.ByType.OrderBy(entry => entry.Key.Name, StringComparer.Ordinal).SelectMany(entry => Enumerable.Range(0, ValidPerType)
            .Select(index => entry.Value.Generate(new PCG(1u, (ulong)index), null, out _))).ToArray();
        var manifests = valid.Select(serializer.Manifest).ToArray();
        FuzzCases.Run([.. valid.Select(serializer.ToBinary)], Read, fault => fault is SerializationException, MaxAllocation);

        void Read(int index, byte[] bytes) => serializer.ToBinary(serializer.FromBinary(bytes, manifests[index]));
    }

    [Fact]
    public void A_message_that_lacks_what_is_always_there_is_refused_by_the_name_of_the_part()
    {
        // An assignment that is nil, a list that is nil, a message that ends too early, an item of a list that is nil.
        byte[] run = [0x91, 0x01], generation = [0x91, 0x02];
        AssertLacks("Assignment", "hs", [0x94, .. run, .. generation, 0x90, 0xC0]);
        AssertLacks("Ranks", "rl", [0x93, .. run, .. generation, 0xC0]);
        AssertLacks("Ranks", "rl", [0x92, .. run, .. generation]);
        AssertLacks("Links[0]", "mld", [0x91, 0x91, 0xC0]);
        // A node without an address, as a value of its own, and where there need not be one.
        byte[] nobody = [0x92, 0xC0, 0x00];
        AssertLacks("Node.Address", "nb", [0x92, .. nobody, .. generation]);
        AssertLacks("Node.Address", "nb", [0x92, 0x90, .. generation]);
        AssertLacks("Suspect.Address", "pu", [0x93, 0x92, 0xA1, 0x61, 0x00, .. nobody, 0xA0]);
        AssertLacks("Holder.Address", "cp", [0x94, .. generation, 0x00, 0x00, .. nobody]);
        Assert.Null(Assert.IsType<StageProtocol.CopyStored>(Serializer.FromBinary([0x94, .. generation, 0x00, 0x00, 0xC0], "cp")).Holder);
        Assert.IsType<ReleaseStages>(Serializer.FromBinary([0x93, .. run, .. generation, 0x90], "rl"));
    }

    private void AssertLacks(string part, string manifest, byte[] bytes)
    {
        var fault = Assert.Throws<SerializationException>(void () => Serializer.FromBinary(bytes, manifest));
        Assert.Contains($"lacks {part}", fault.Message, StringComparison.Ordinal);
    }
}
