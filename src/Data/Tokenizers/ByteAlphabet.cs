namespace Pipeline.Data;

/// <summary>
/// The one-to-one map between bytes and printable characters in which GPT-2's vocabulary files spell tokens: printable Latin-1
/// stands for itself, the other 68 bytes for U+0100 and on, so that no token holds a space or a control character
/// (Radford et al. 2019, the released encoder).
/// </summary>
internal static class ByteAlphabet
{
    private static readonly char[] CharacterOfByte = MakeCharacters();
    private static readonly Dictionary<char, byte> ByteOfCharacter =
        CharacterOfByte.Select((character, value) => (character, value)).ToDictionary(pair => pair.character, pair => (byte)pair.value);

    public static string Spell(ReadOnlySpan<byte> bytes) =>
        string.Create(bytes.Length, bytes, static (characters, source) =>
        {
            for (int i = 0; i < source.Length; i++)
                characters[i] = CharacterOfByte[source[i]];
        });

    /// <returns>Null if a character is not of this alphabet, as in the names of special tokens with spaces.</returns>
    public static byte[]? TryRead(string spelling)
    {
        byte[] bytes = new byte[spelling.Length];
        for (int i = 0; i < bytes.Length; i++)
        {
            if (!ByteOfCharacter.TryGetValue(spelling[i], out bytes[i]))
                return null;
        }
        return bytes;
    }

    private static char[] MakeCharacters()
    {
        char[] characters = new char[256];
        char next = '\u0100';
        for (int value = 0; value < 256; value++)
            characters[value] = value is >= '!' and <= '~' or >= 0xA1 and <= 0xAC or >= 0xAE ? (char)value : next++;
        return characters;
    }
}
