using System.Buffers.Binary;

namespace Pipeline.Protocol.Security.Guard;

/// <summary>
/// Walks the fields of one protobuf message without copying or allocating. Stricter than the library that reads it afterwards: a field that
/// occurs twice would be merged there, so that this walk and that reading could differ; here it is refused.
/// </summary>
/// <param name="bytes">The message.</param>
internal ref struct ProtobufFields(ReadOnlySpan<byte> bytes)
{
    private const int HighestField = 63;
    private ReadOnlySpan<byte> _rest = bytes;
    private ulong _seen;

    /// <summary>Number of the field.</summary>
    public int Field { get; private set; }

    /// <summary>Value of a number's field.</summary>
    public ulong Number { get; private set; }

    /// <summary>Content of a field of bytes, text or a message.</summary>
    public ReadOnlySpan<byte> Bytes { get; private set; }

    private bool IsBytes { get; set; }

    /// <summary>Steps to the next field.</summary>
    /// <exception cref="PduException">The bytes are no protobuf message, or one that we do not take.</exception>
    public bool Next(ReadOnlySpan<int> repeatable = default)
    {
        if (_rest.IsEmpty) return false;
        var tag = Varint();
        if (tag >> 3 is 0 or > HighestField) throw new PduException($"a field with the number {tag >> 3}");
        Field = (int)(tag >> 3);
        var bit = 1UL << Field;
        if ((_seen & bit) != 0 && !repeatable.Contains(Field)) throw new PduException($"the field {Field} twice");
        _seen |= bit;
        Read((int)(tag & 7));
        return true;
    }

    /// <summary>The content of the field, which must be bytes.</summary>
    public readonly ReadOnlySpan<byte> RequireBytes() => IsBytes ? Bytes : throw new PduException($"a number in the field {Field} of bytes");

    /// <summary>The value of the field, which must be a 32-bit number.</summary>
    public readonly int RequireInt32() => !IsBytes && Number <= int.MaxValue ? (int)Number : throw new PduException($"no 32-bit number in the field {Field}");

    private void Read(int wireType)
    {
        IsBytes = wireType == 2;
        Number = 0;
        Bytes = default;
        switch (wireType)
        {
            case 0: Number = Varint(); break;
            case 1: Number = BinaryPrimitives.ReadUInt64LittleEndian(Take(8)); break;
            case 2: Bytes = Take(Varint()); break;
            case 5: Number = BinaryPrimitives.ReadUInt32LittleEndian(Take(4)); break;
            default: throw new PduException($"the wire type {wireType}");
        }
    }

    private ReadOnlySpan<byte> Take(ulong count)
    {
        if (count > (ulong)_rest.Length) throw new PduException($"{count} bytes announced, {_rest.Length} there");
        var taken = _rest[..(int)count];
        _rest = _rest[(int)count..];
        return taken;
    }

    private ulong Varint()
    {
        ulong value = 0;
        for (var shift = 0; shift < 64; shift += 7)
        {
            var next = Take(1)[0];
            value |= (ulong)(next & 0x7F) << shift;
            if (next < 0x80) return value;
        }

        throw new PduException("a number of more than 64 bits");
    }
}
