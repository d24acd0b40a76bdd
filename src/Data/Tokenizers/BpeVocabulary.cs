using System.Buffers.Binary;
using System.IO.Hashing;
using System.Text;

namespace Pipeline.Data;

/// <summary>Two neighbours that become one token; the place in the list of merges is the rank, the lowest goes first.</summary>
internal readonly record struct Merge(int Left, int Right, int Result);

/// <summary>What a byte-level BPE is: the bytes of each token, the merges in their order, and the special tokens.</summary>
internal sealed class BpeVocabulary
{
    public const string EndOfTextName = "<|endoftext|>";

    /// <summary>0xC0, 0xC1 and 0xF5 to 0xFF occur in no UTF-8 text, so a vocabulary can do without them.</summary>
    private static bool OccursInText(int value) => value is < 0xC0 or (> 0xC1 and < 0xF5);

    private readonly byte[][] _tokens;
    private readonly int[] _tokenOfByte = new int[256];

    /// <param name="tokens">Bytes by token number; empty where a number is not used.</param>
    /// <param name="merges">In order of rank.</param>
    /// <param name="specialNames">Names of tokens that no text encodes to.</param>
    /// <param name="endOfText">One of the special tokens.</param>
    /// <exception cref="DataException">A byte that text can hold has no token.</exception>
    public BpeVocabulary(byte[][] tokens, IReadOnlyList<Merge> merges, IReadOnlyDictionary<int, string> specialNames, int endOfText)
    {
        _tokens = tokens;
        Merges = merges;
        SpecialNames = specialNames;
        EndOfText = endOfText;
        _tokenOfByte.AsSpan().Fill(-1);
        for (int token = tokens.Length - 1; token >= 0; token--)
        {
            if (tokens[token].Length == 1 && !specialNames.ContainsKey(token))
                _tokenOfByte[tokens[token][0]] = token;
        }
        int missing = Array.FindIndex(_tokenOfByte, token => token < 0);
        while (missing >= 0 && !OccursInText(missing))
            missing = Array.FindIndex(_tokenOfByte, missing + 1, token => token < 0);
        if (missing >= 0)
            throw new DataException($"The vocabulary has no token for the byte 0x{missing:X2}: a byte-level BPE in GPT-2's form is expected.");
        Hash = ComputeHash();
    }

    public int Count => _tokens.Length;

    public IReadOnlyList<Merge> Merges { get; }

    public IReadOnlyDictionary<int, string> SpecialNames { get; }

    public int EndOfText { get; }

    public string Hash { get; }

    public ReadOnlySpan<byte> BytesOf(int token) => (uint)token < (uint)_tokens.Length
        ? _tokens[token]
        : throw new ArgumentOutOfRangeException(nameof(token), token, $"The vocabulary has the tokens 0 to {_tokens.Length - 1}.");

    public int TokenOf(byte value) => _tokenOfByte[value];

    public string Decode(ReadOnlySpan<int> tokens)
    {
        int byteCount = 0;
        foreach (int token in tokens)
            byteCount += BytesOf(token).Length;
        byte[] bytes = new byte[byteCount];
        Span<byte> rest = bytes;
        foreach (int token in tokens)
        {
            BytesOf(token).CopyTo(rest);
            rest = rest[_tokens[token].Length..];
        }
        return Encoding.UTF8.GetString(bytes);
    }

    /// <summary>The first <paramref name="count"/> bytes as tokens of their own number.</summary>
    public static List<byte[]> Bytes(int count) => Enumerable.Range(0, count).Select(value => new[] { (byte)value }).ToList();

    /// <summary>Adds the end of text as the last token.</summary>
    public static BpeVocabulary WithEndOfText(List<byte[]> tokens, IReadOnlyList<Merge> merges)
    {
        int endOfText = tokens.Count;
        return new BpeVocabulary([.. tokens, Encoding.UTF8.GetBytes(EndOfTextName)], merges,
            new Dictionary<int, string> { [endOfText] = EndOfTextName }, endOfText);
    }

    private string ComputeHash()
    {
        XxHash128 hash = new();
        Span<byte> number = stackalloc byte[4];
        Append(EndOfText, number);
        Append(_tokens.Length, number);
        for (int token = 0; token < _tokens.Length; token++)
        {
            Append(SpecialNames.ContainsKey(token) ? ~_tokens[token].Length : _tokens[token].Length, number);
            hash.Append(_tokens[token]);
        }
        foreach (Merge merge in Merges)
        {
            Append(merge.Left, number);
            Append(merge.Right, number);
            Append(merge.Result, number);
        }
        return Convert.ToHexStringLower(hash.GetCurrentHash());

        void Append(int value, Span<byte> buffer)
        {
            BinaryPrimitives.WriteInt32LittleEndian(buffer, value);
            hash.Append(buffer);
        }
    }
}
