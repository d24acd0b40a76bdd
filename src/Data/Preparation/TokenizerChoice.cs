namespace Pipeline.Data;

/// <summary>Which tokenizer a corpus is to be prepared with: a ready one, or a BPE still to be trained.</summary>
/// <param name="Ready">Null if it is to be trained.</param>
/// <param name="TrainedVocabularySize">Tokens of the BPE to train.</param>
internal sealed record TokenizerChoice(ITokenizer? Ready, int TrainedVocabularySize)
{
    /// <summary>What distinguishes it from every other choice, for the name of the prepared folder.</summary>
    public string Key => Ready is null ? $"bpe {TrainedVocabularySize}" : $"ready {Ready.Hash}";

    /// <param name="settings">The tokenizer by name.</param>
    /// <param name="modelVocabularySize">Rows of the model's embedding; 0 leaves it open.</param>
    /// <exception cref="DataException">No tokenizer can be had by that name, or it has more tokens than the model.</exception>
    public static TokenizerChoice From(DataSettings settings, int modelVocabularySize)
    {
        int size = settings.VocabularySize != 0 ? settings.VocabularySize : modelVocabularySize;
        if (modelVocabularySize != 0 && size > modelVocabularySize)
        {
            throw new DataException($"pipeline.data.vocabulary-size is {size}, but the model has {modelVocabularySize} tokens only. "
                + "Lower it or raise pipeline.model.vocabulary.");
        }
        switch (settings.Tokenizer)
        {
            case DataSettings.BytesTokenizer:
            case DataSettings.AutomaticTokenizer when size == ByteTokenizer.Vocabulary.Count:
                return new TokenizerChoice(Fitting(new ByteTokenizer(), modelVocabularySize), 0);
            case DataSettings.AutomaticTokenizer or DataSettings.BpeTokenizer:
                if (size is < BpeTrainer.MinimumVocabularySize or > BpeTrainer.MaximumVocabularySize)
                {
                    throw new DataException($"A BPE of {size} tokens cannot be trained: {BpeTrainer.MinimumVocabularySize} to "
                        + $"{BpeTrainer.MaximumVocabularySize} are expected. Change pipeline.model.vocabulary or pipeline.data.vocabulary-size.");
                }
                return new TokenizerChoice(null, size);
            default:
                return new TokenizerChoice(Fitting(TokenizerLoader.Load(settings.Tokenizer), modelVocabularySize), 0);
        }
    }

    private static ITokenizer Fitting(ITokenizer tokenizer, int modelVocabularySize) =>
        modelVocabularySize == 0 || tokenizer.VocabularySize <= modelVocabularySize
            ? tokenizer
            : throw new DataException($"The tokenizer has {tokenizer.VocabularySize} tokens, but the model {modelVocabularySize} only. "
                + $"Set pipeline.model.vocabulary to at least {tokenizer.VocabularySize}, or take another tokenizer.");
}
