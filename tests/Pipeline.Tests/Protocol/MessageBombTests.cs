using System.Collections;
using System.Reflection;
using System.Runtime.Serialization;
using Akka.Actor;
using MessagePack;
using Pipeline.Protocol.Frames;
using Pipeline.Protocol.Wire;
using Xunit;

namespace Pipeline.Tests.Protocol;

/// <summary>Row A4 of the fault matrix: messages of few bytes that would take much memory, many stack frames or much time are refused in memory of the order of their own.</summary>
public sealed class MessageBombTests : IDisposable
{
    /// <summary>As deep as the largest frame of the control plane could be.</summary>
    private const int Depth = 128_000;

    /// <summary>The bytes themselves several times over.</summary>
    private const long MaxAllocation = 4 << 20;

    private readonly ActorSystem _system = ActorSystem.Create("wire-bombs", WireSetup.For("akka { loglevel = ERROR, stdout-loglevel = ERROR }"));

    /// <summary>What stands in the place of any value, by name.</summary>
    private static readonly Dictionary<string, byte[]> s_bombs = new(StringComparer.Ordinal)
    {
        { "lists in lists", [.. Enumerable.Repeat((byte)0x91, Depth), 0xC0] },
        { "maps in maps", [.. Enumerable.Repeat(new byte[] { 0x81, 0x00 }, Depth / 2).SelectMany(pair => pair), 0xC0] },
        { "maps that are keys of maps", [.. Enumerable.Repeat((byte)0x81, Depth)] },
        { "lists of two, one deeper", [.. Enumerable.Repeat(new byte[] { 0x92, 0xC0 }, Depth / 2).SelectMany(pair => pair), 0xC0] },
        { "a list of 2^32 - 1", [0xDD, 0xFF, 0xFF, 0xFF, 0xFF] },
        { "a list of 2^31 - 1 with some items", [0xDD, 0x7F, 0xFF, 0xFF, 0xFF, .. new byte[1000]] },
        { "a map of 2^31", [0xDF, 0x80, 0x00, 0x00, 0x00] },
        { "text of 2^31 - 1 bytes", [0xDB, 0x7F, 0xFF, 0xFF, 0xFF, .. new byte[1000]] },
        { "bytes of 2^31 - 1", [0xC6, 0x7F, 0xFF, 0xFF, 0xFF, .. new byte[1000]] },
        { "LZ4 that declares 2^32 - 1 bytes", [0xC9, 0x00, 0x00, 0x00, 0x09, 0x63, 0xD2, 0x7F, 0xFF, 0xFF, 0xFF, 0x1F, 0x00, 0x01, 0x00] },
        { "blocks of LZ4", [0x92, 0xD4, 0x62, 0x7F, 0xC4, 0x01, 0x00] },
        { "a type by its name", [0xC7, 0x05, 0x64, 0xA4, .. "Evil"u8] },
        { "an extension of 2^31 - 1 bytes", [0xC9, 0x7F, 0xFF, 0xFF, 0xFF, 0x07] },
    };

    public static TheoryData<string> Bombs => [.. s_bombs.Keys];

    private WireSerializer Serializer => Assert.IsType<WireSerializer>(_system.Serialization.FindSerializerForType(typeof(TensorFrame)));

    public void Dispose() => _system.Terminate().Wait(TimeSpan.FromSeconds(10));

    [Theory]
    [MemberData(nameof(Bombs))]
    public void A_bomb_in_the_place_of_any_message_or_part_of_one_is_refused_or_passed_by_and_takes_little_memory(string what)
    {
        var bomb = s_bombs[what];
        foreach (var manifest in WireManifests.Types.Select(type => WireManifests.Of(type)!.Manifest))
        {
            // The message itself, its first part, its last, a part that it does not have, and one far behind its end.
            Refused(what, manifest, bomb);
            Refused(what, manifest, [0x91, .. bomb]);
            for (var before = 1; before <= 8; before++) Refused(what, manifest, [(byte)(0x91 + before), .. Enumerable.Repeat((byte)0x00, before), .. bomb]);
            Refused(what, manifest, [0xDC, 0x00, 0x40, .. Enumerable.Repeat((byte)0xC0, 0x3F), .. bomb]);
        }
    }

    [Fact]
    public void Nesting_is_counted_exactly_over_every_kind_of_value_that_may_lie_beside_it()
    {
        (byte[] Value, int Depth)[] beside =
        [
            ([], 0), ([0x05], 0), ([0xE0], 0), ([0xC0], 0), ([0xC3], 0), ([0xA3, 1, 2, 3], 0), ([0xC4, 2, 1, 2], 0), ([0xC5, 0, 1, 7], 0), ([0xC6, 0, 0, 0, 1, 7], 0), ([0xC7, 1, 9, 7], 0), ([0xC8, 0, 1, 9, 7], 0),
            ([0xC9, 0, 0, 0, 1, 9, 7], 0), ([0xCA, 1, 2, 3, 4], 0), ([0xCB, 1, 2, 3, 4, 5, 6, 7, 8], 0), ([0xCC, 1], 0), ([0xCD, 1, 2], 0), ([0xCE, 1, 2, 3, 4], 0), ([0xCF, 1, 2, 3, 4, 5, 6, 7, 8], 0), ([0xD0, 1], 0),
            ([0xD1, 1, 2], 0), ([0xD2, 1, 2, 3, 4], 0), ([0xD3, 1, 2, 3, 4, 5, 6, 7, 8], 0), ([0xD4, 9, 1], 0), ([0xD5, 9, 1, 2], 0), ([0xD6, 9, 1, 2, 3, 4], 0), ([0xD7, 9, 1, 2, 3, 4, 5, 6, 7, 8], 0), ([0xD8, 9, .. new byte[16]], 0),
            ([0xD9, 1, 7], 0), ([0xDA, 0, 1, 7], 0), ([0xDB, 0, 0, 0, 1, 7], 0), ([0x90], 0), ([0x80], 0), ([0x91, 0x92, 0xC0, 0xC0], 2), ([0xDC, 0, 1, 0x91, 0xC0], 2), ([0xDD, 0, 0, 0, 1, 0xC0], 1), ([0xDE, 0, 1, 1, 2], 1), ([0xDF, 0, 0, 0, 1, 1, 0x91, 2], 2),
        ];
        foreach (var (value, depth) in beside)
        {
            var count = (byte)(value.Length == 0 ? 1 : 2);
            foreach (var level in new byte[][] { [(byte)(0x90 + count), .. value], [0xDC, 0, count, .. value], [0xDD, 0, 0, 0, count, .. value] }) AssertDeepest(level, NestingLimit.Deepest - depth);
        }

        foreach (var level in new byte[][] { [0x81, 0x00], [0xDE, 0, 1, 0x00], [0xDF, 0, 0, 0, 1, 0x00] }) AssertDeepest(level, NestingLimit.Deepest);

        static void AssertDeepest(byte[] level, int depth)
        {
            var whole = Nested(level, depth);
            Assert.False(NestingLimit.IsExceeded(whole), Convert.ToHexString(level));
            Assert.True(NestingLimit.IsExceeded(Nested(level, depth + 1)), Convert.ToHexString(level));
            // What is cut off is no deeper than it is.
            for (var length = 0; length < whole.Length; length++) Assert.False(NestingLimit.IsExceeded(whole.AsSpan(0, length)));
        }

        static byte[] Nested(byte[] level, int depth) => [.. Enumerable.Repeat(level, depth).SelectMany(bytes => bytes), 0xC0];
    }

    [Fact]
    public void Nothing_on_the_wire_is_looked_up_by_keys_of_the_sender()
    {
        HashSet<Type> seen = [];
        foreach (var type in WireManifests.Types) Visit(type);
        Assert.True(seen.Count > WireManifests.Types.Count());

        void Visit(Type type)
        {
            Assert.False(typeof(IDictionary).IsAssignableFrom(type) || type.GetInterfaces().Append(type).Any(one => one.IsGenericType && one.GetGenericTypeDefinition() == typeof(IReadOnlyDictionary<,>)), $"{type} is a map.");
            foreach (var argument in type.IsGenericType ? type.GetGenericArguments() : []) Visit(argument);
            if (type.Assembly != typeof(WireManifests).Assembly || !seen.Add(type)) return;
            foreach (var property in type.GetProperties().Where(property => property.GetCustomAttribute<KeyAttribute>() is not null)) Visit(property.PropertyType);
        }
    }

    private void Refused(string what, string manifest, byte[] bytes)
    {
        Allocations.AssertAtMost(MaxAllocation, Read, () => $"{what} under {manifest}, {bytes.Length} bytes");

        void Read()
        {
            try
            {
                Serializer.FromBinary(bytes, manifest);
                // A message without parts, or whose parts are numbers, passes by what stands behind them.
            }
            catch (SerializationException)
            {
                // What is wanted of most.
            }
        }
    }
}
