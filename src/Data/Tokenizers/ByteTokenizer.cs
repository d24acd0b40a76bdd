using System.Text;

namespace Pipeline.Data;

/// <summary>The bytes of UTF-8 as tokens 0 to 255, and the end of text as 256: a BPE without merges, and saved as one.</summary>
public sealed class ByteTokenizer : ITokenizer
{
    internal const string KindName = "bytes";

    internal static BpeVocabulary Vocabulary { get; } = BpeVocabulary.WithEndOfText(BpeVocabulary.Bytes(256), []);

    public string Kind => KindName;

    public int VocabularySize => Vocabulary.Count;

    public int EndOfText => Vocabulary.EndOfText;

    public string Hash => Vocabulary.Hash;

    public int[] Encode(string text)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(text);
        int[] tokens = new int[bytes.Length];
        for (int i = 0; i < tokens.Length; i++)
            tokens[i] = bytes[i];
        return tokens;
    }

    public string Decode(ReadOnlySpan<int> tokens) => Vocabulary.Decode(tokens);

    public ReadOnlySpan<byte> BytesOf(int token) => Vocabulary.BytesOf(token);

    public void Save(string folder, int? contextLength = null) => VocabularyWriter.Save(Vocabulary, folder, contextLength);
}
