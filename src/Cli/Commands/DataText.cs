using System.Globalization;
using System.Text;
using Pipeline.Data;

namespace Pipeline.Cli.Commands;

/// <summary>A prepared corpus as text for people.</summary>
internal static class DataText
{
    private const int ShownLength = 200;

    public static string Of(PreparedData data) => string.Create(CultureInfo.InvariantCulture, $"""
        corpus      {data.CorpusDescription}
        prepared    {data.Folder}
        tokenizer   {data.Tokenizer.Kind}, {data.Tokenizer.VocabularySize:N0} tokens
        training    {data.Training.DocumentCount:N0} documents, {data.Training.TokenCount:N0} tokens
        validation  {data.Validation.DocumentCount:N0} documents, {data.Validation.TokenCount:N0} tokens
        {Notices(data.Notices)}
        """);

    public static string Of(DataInspection inspection)
    {
        StringBuilder text = new();
        text.Append(CultureInfo.InvariantCulture, $"""
            corpus      {inspection.Corpus}
            prepared    {inspection.Folder}
            tokenizer   {inspection.TokenizerKind}, {inspection.VocabularySize:N0} tokens
            training    {Describe(inspection.Training)}
            validation  {Describe(inspection.Validation)}
            samples     {inspection.SamplesPerEpoch:N0} of {inspection.ContextLength} tokens in an epoch; {inspection.ValidationWindowCount:N0} windows for validation
            baselines   unigram {Describe(inspection.Baseline.UnigramNats, inspection.Baseline.UnigramBitsPerByte)}
                        trigram {Describe(inspection.Baseline.TrigramNats, inspection.Baseline.TrigramBitsPerByte)}

            """);
        foreach (var sample in inspection.Samples)
            text.Append(CultureInfo.InvariantCulture, $"sample {sample.Index}    {Shorten(sample.Text)}\n");
        return text.Append(Notices(inspection.Notices)).ToString();
    }

    private static string Describe(TokenSetInspection set) => string.Create(CultureInfo.InvariantCulture,
        $"{set.DocumentCount:N0} documents, {set.ByteCount:N0} bytes, {set.TokenCount:N0} tokens ({set.BytesPerToken:0.00} bytes a token), {set.UsedTokenCount:N0} of the vocabulary occur");

    private static string Describe(double nats, double bits) => string.Create(CultureInfo.InvariantCulture, $"{nats:0.000} nats a token, {bits:0.000} bits a byte");

    private static string Notices(IReadOnlyList<string> notices) => string.Concat(notices.Select(notice => $"note        {notice}\n"));

    private static string Shorten(string text)
    {
        var line = text.ReplaceLineEndings("⏎");
        return line.Length <= ShownLength ? line : line[..ShownLength] + "…";
    }
}
