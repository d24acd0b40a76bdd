using System.Text;

namespace Pipeline.Data;

/// <summary>Splits a corpus into training and held-out text, trains the tokenizer on the former if need be, and writes both as tokens.</summary>
internal sealed class CorpusEncoder(Corpus corpus, TokenizerChoice choice, int contextLength, IProgress<string>? progress, CancellationToken cancellationToken)
{
    private const double MaximumHoldOut = 0.5;

    private const long MaximumBytesInMemory = 1L << 26;

    private readonly List<string> _notices = [];

    // A small corpus is read and cut into documents once, a large one each time it is gone through.
    private List<Document>? _documentsInMemory;

    /// <summary>Fills <paramref name="folder"/> with token files, tokenizer and record.</summary>
    /// <exception cref="DataException">The corpus is empty or shorter than a sample.</exception>
    public void Encode(double holdOut, string folder)
    {
        IReadOnlyList<long> lengths = MeasureDocuments();
        for (double share = holdOut; ; share = Math.Min(MaximumHoldOut, 2 * share))
        {
            bool isLastTry = share >= MaximumHoldOut;
            _notices.Clear();
            _notices.AddRange(corpus.Notices);
            var (tokenizer, trainingCount, validationCount) = lengths.Count == 1
                ? EncodeSingle(share, folder)
                : EncodeMany(lengths, share, folder);
            if (trainingCount <= contextLength || (validationCount <= contextLength && isLastTry))
                throw TooShort(trainingCount, validationCount);
            if (validationCount > contextLength)
            {
                if (share > holdOut)
                    _notices.Add($"{share:P0} of the text are held out instead of {holdOut:P0}: less would be shorter than a sample of {contextLength + 1} tokens.");
                tokenizer.Save(folder, contextLength);
                Finish(tokenizer, folder);
                return;
            }
        }
    }

    private List<long> MeasureDocuments()
    {
        List<long> lengths = [];
        List<Document>? documents = [];
        long byteCount = 0;
        foreach (Document document in Documents())
        {
            lengths.Add(Encoding.UTF8.GetByteCount(document.Text));
            byteCount += lengths[^1];
            documents?.Add(document);
            if (byteCount > MaximumBytesInMemory)
                documents = null;
        }
        _documentsInMemory = documents;
        progress?.Report($"{corpus.Description}: {lengths.Count} documents, {byteCount} bytes");
        if (lengths.Count == 0)
            throw new DataException($"The corpus {corpus.Description} is empty: no document in its {(corpus.FileCount == 1 ? "file" : $"{corpus.FileCount} files")} holds any text.");
        // A token is at least one byte, so this much is needed whatever the tokenizer.
        return byteCount >= 2L * (contextLength + 1) ? lengths : throw TooShort(byteCount);
    }

    private (ITokenizer Tokenizer, long TrainingCount, long ValidationCount) EncodeMany(IReadOnlyList<long> lengths, double share, string folder)
    {
        bool[] isHeldOut = HoldOutSplit.Choose(lengths, share);
        ITokenizer tokenizer = MakeTokenizer(Documents().Where((_, index) => !isHeldOut[index]).Select(document => document.Text));
        using TokenFileWriter training = new(Path.Combine(folder, PreparedRecord.TrainingFileName), tokenizer);
        using TokenFileWriter validation = new(Path.Combine(folder, PreparedRecord.ValidationFileName), tokenizer);
        progress?.Report("encoding");
        int index = 0;
        foreach (Document document in Documents())
        {
            if (index == isHeldOut.Length)
                throw new DataException($"The corpus {corpus.Description} grew while it was prepared. Leave it alone and start again.");
            (isHeldOut[index] ? validation : training).AddDocument(tokenizer.Encode(document.Text));
            index++;
        }
        training.Complete();
        validation.Complete();
        NoteLargeHoldOut(training, validation, share, isHeldOut);
        return (tokenizer, training.TokenCount, validation.TokenCount);
    }

    private (ITokenizer Tokenizer, long TrainingCount, long ValidationCount) EncodeSingle(double share, string folder)
    {
        string text = Documents().Single().Text;
        int cut = HoldOutSplit.CutOf(text, share);
        ITokenizer tokenizer = MakeTokenizer([text[..cut]]);
        using TokenFileWriter training = new(Path.Combine(folder, PreparedRecord.TrainingFileName), tokenizer);
        using TokenFileWriter validation = new(Path.Combine(folder, PreparedRecord.ValidationFileName), tokenizer);
        // The gap of one context keeps what is tested from following at once upon what was learnt.
        int[] before = tokenizer.Encode(text[..cut]);
        training.AddDocument(before.AsSpan(0, Math.Max(0, before.Length - contextLength)));
        validation.AddDocument(tokenizer.Encode(text[cut..]));
        training.Complete();
        validation.Complete();
        return (tokenizer, training.TokenCount, validation.TokenCount);
    }

    private ITokenizer MakeTokenizer(IEnumerable<string> texts)
    {
        if (choice.Ready is { } ready)
            return ready;
        BpeTraining trained = BpeTrainer.Train(texts, choice.TrainedVocabularySize, progress, cancellationToken);
        if (trained.Notice is { } notice)
            _notices.Add(notice);
        return trained.Tokenizer;
    }

    private void NoteLargeHoldOut(TokenFileWriter training, TokenFileWriter validation, double share, bool[] isHeldOut)
    {
        double found = (double)validation.TextByteCount / (training.TextByteCount + validation.TextByteCount);
        if (found > 1.5 * share)
            _notices.Add($"{isHeldOut.Count(held => held)} of {isHeldOut.Length} documents are held out, {found:P0} of the text: documents are not cut.");
    }

    private void Finish(ITokenizer tokenizer, string folder)
    {
        foreach (string notice in _notices)
            progress?.Report(notice);
        new PreparedRecord
        {
            Corpus = corpus.Description,
            CorpusHash = corpus.ContentHash,
            TokenizerKind = tokenizer.Kind,
            TokenizerHash = tokenizer.Hash,
            Notices = _notices,
        }.Save(folder);
    }

    private IEnumerable<Document> Documents()
    {
        foreach (Document document in _documentsInMemory ?? corpus.ReadDocuments())
        {
            cancellationToken.ThrowIfCancellationRequested();
            yield return document;
        }
    }

    private DataException TooShort(long byteCount) =>
        new($"The corpus {corpus.Description} is shorter than a sample: it has {byteCount} bytes, and training and validation need at least "
            + $"{contextLength + 1} tokens each. Give more text or lower pipeline.model.context ({contextLength}).");

    private DataException TooShort(long trainingCount, long validationCount) =>
        new($"The corpus {corpus.Description} is shorter than a sample: it has {trainingCount} tokens for training and {validationCount} for validation, "
            + $"{contextLength + 1} are needed for each. Give more text or lower pipeline.model.context ({contextLength}).");
}
