using System.IO.Hashing;

namespace Pipeline.Checkpoints;

/// <summary>
/// XxHash128 as text. It finds damage (a flipped bit, a torn write, a file of another step) at memory speed;
/// it is no defence against somebody who alters a file and its hash together.
/// </summary>
public static class ContentHash
{
    /// <summary>Hexadecimal digits of a hash.</summary>
    public const int DigitCount = 32;

    /// <summary>Hash of bytes in memory.</summary>
    public static string Of(ReadOnlySpan<byte> bytes) => Convert.ToHexStringLower(XxHash128.Hash(bytes));

    internal static string Text(XxHash128 hash) => Convert.ToHexStringLower(hash.GetCurrentHash());

    internal static bool IsWellFormed(string text) =>
        text.Length == DigitCount && text.All(c => c is (>= '0' and <= '9') or (>= 'a' and <= 'f'));
}
