using MessagePack;

namespace Pipeline.Protocol;

/// <summary>
/// Memory of a process that another one of the same user on the same machine can map. The name is random: whoever finds it under the process and the descriptor has the memory that is meant,
/// whatever machine or container it looks from.
/// </summary>
/// <param name="Process">The process.</param>
/// <param name="Descriptor">The descriptor that the memory has there.</param>
/// <param name="Name">Its name: <see cref="Prefix"/> and 32 hexadecimal digits.</param>
/// <param name="Use">How often other things have lain there before.</param>
[MessagePackObject]
public sealed record LentMemory(
    [property: Key(0)] int Process,
    [property: Key(1)] int Descriptor,
    [property: Key(2)] string Name,
    [property: Key(3)] long Use)
{
    /// <summary>What all names begin with.</summary>
    public const string Prefix = "pipeline-copy-";

    private const int DigitCount = 32;

    /// <summary>Whether the name is of the right form.</summary>
    [IgnoreMember]
    public bool IsNamedWell => Name is { Length: var length } && length == Prefix.Length + DigitCount && Name.StartsWith(Prefix, StringComparison.Ordinal) && Name.Skip(Prefix.Length).All(char.IsAsciiHexDigitLower);
}
