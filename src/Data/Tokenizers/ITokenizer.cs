namespace Pipeline.Data;

/// <summary>
/// Text to token numbers and back. Safe for use by many threads at once. Text never encodes to the end of text: that token is
/// put between documents, so a document that spells it out stays a document.
/// </summary>
public interface ITokenizer
{
    /// <summary><c>bytes</c> or <c>bpe</c>.</summary>
    string Kind { get; }

    /// <summary>One more than the greatest token number; the end of text is counted.</summary>
    int VocabularySize { get; }

    /// <summary>The token that separates documents.</summary>
    int EndOfText { get; }

    /// <summary>XxHash128 over tokens and merges, 32 hexadecimal digits: equal for tokenizers that encode all text alike.</summary>
    string Hash { get; }

    int[] Encode(string text);

    /// <summary>The text of the tokens; bytes that are no UTF-8 (a character cut in two) become U+FFFD, the end of text its name.</summary>
    /// <exception cref="ArgumentOutOfRangeException">A token is outside the vocabulary.</exception>
    string Decode(ReadOnlySpan<int> tokens);

    /// <summary>The bytes that a token stands for, for decoding while tokens arrive one by one.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The token is outside the vocabulary.</exception>
    ReadOnlySpan<byte> BytesOf(int token);

    /// <summary>Writes tokenizer.json, tokenizer_config.json, vocab.json and merges.txt in the forms that other tools read.</summary>
    /// <param name="folder">Created where it is missing.</param>
    /// <param name="contextLength">The longest text, in tokens, that the model takes; null leaves it out.</param>
    void Save(string folder, int? contextLength = null);
}
