using System.Runtime.Serialization;
using Akka.Actor;
using CsCheck;
using Pipeline.Protocol;
using Pipeline.Protocol.Frames;
using Pipeline.Protocol.Wire;
using Xunit;

namespace Pipeline.Tests.Protocol;

public sealed class WireSerializerTests : IDisposable
{
    private readonly ActorSystem _system = ActorSystem.Create("wire", WireSetup.For("akka { loglevel = ERROR, stdout-loglevel = ERROR }"));

    private static IEnumerable<Type> MessageTypes => typeof(IWireMessage).Assembly.GetTypes()
        .Where(type => typeof(IWireMessage).IsAssignableFrom(type) && !type.IsInterface);

    private WireSerializer Serializer => Assert.IsType<WireSerializer>(_system.Serialization.FindSerializerForType(typeof(TensorFrame)));

    public void Dispose() => _system.Terminate().Wait(TimeSpan.FromSeconds(10));

    [Fact]
    public void Every_wire_message_stands_in_the_manifest_table_and_has_a_generator()
    {
        Assert.Equal(MessageTypes.Order(ByName), WireManifests.Types.Order(ByName));
        Assert.Equal(MessageTypes.Order(ByName), WireMessageGenerators.ByType.Keys.Order(ByName));
    }

    [Fact]
    public void Every_wire_message_is_sealed_and_bound_to_our_serializer()
    {
        Assert.All(MessageTypes, type =>
        {
            Assert.True(type.IsSealed, type.Name);
            Assert.IsType<WireSerializer>(_system.Serialization.FindSerializerForType(type));
        });
    }

    [Fact]
    public void Every_wire_message_comes_back_as_it_was_sent()
    {
        foreach (var generator in WireMessageGenerators.ByType.Values)
        {
            generator.Sample(message =>
            {
                var bytes = Serializer.ToBinary(message);
                var copy = Serializer.FromBinary(bytes, Serializer.Manifest(message));
                Assert.IsType(message.GetType(), copy);
                // Lists compare by reference, so the second writing stands for the value.
                Assert.Equal(bytes, Serializer.ToBinary(copy));
                if (message is not TensorFrame) Assert.Equivalent(message, copy, strict: true);
            }, iter: 30);
        }
    }

    [Fact]
    public void An_unknown_manifest_is_refused_by_name()
    {
        var fault = Assert.Throws<SerializationException>(void () => Serializer.FromBinary([0x90], "System.IO.FileInfo"));
        Assert.Contains("System.IO.FileInfo", fault.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_type_outside_the_table_is_refused()
    {
        Assert.Throws<SerializationException>(void () => Serializer.ToBinary("text"));
        Assert.Throws<SerializationException>(void () => Serializer.Manifest(new object()));
    }

    [Fact]
    public void Broken_bytes_under_a_known_manifest_end_in_one_kind_of_exception()
    {
        var manifests = WireManifests.Types.Select(type => WireManifests.Of(type)!.Manifest).ToArray();
        Gen.Select(Gen.Int[0, manifests.Length - 1].Select(index => manifests[index]), Gen.Byte.Array[0, 40]).Sample((manifest, bytes) =>
        {
            try
            {
                Serializer.FromBinary(bytes, manifest);
            }
            catch (SerializationException)
            {
                return;
            }
        }, iter: 20_000);
    }

    [Fact]
    public void Json_is_neither_written_nor_read()
    {
        var serializer = _system.Serialization.FindSerializerForType(typeof(Uri));
        Assert.IsType<RefusingSerializer>(serializer);
        Assert.Equal(1, serializer.Identifier);
        Assert.Throws<SerializationException>(void () => serializer.ToBinary(new Uri("http://localhost")));
        Assert.Throws<SerializationException>(void () => _system.Serialization.Deserialize([1], 1, typeof(Uri).AssemblyQualifiedName));
    }

    [Fact]
    public void Generations_are_ordered()
    {
        Assert.True(Generation.First < Generation.First.Next());
        Assert.True(Generation.First.Next() > Generation.First);
    }

    private static readonly IComparer<Type> ByName = Comparer<Type>.Create((a, b) => string.CompareOrdinal(a.Name, b.Name));
}
