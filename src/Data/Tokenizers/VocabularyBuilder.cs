using System.Text;
using System.Text.Json;

namespace Pipeline.Data;

/// <summary>Gathers a vocabulary from a file's tokens and merges, and refuses what does not fit together, naming the place.</summary>
internal sealed class VocabularyBuilder(string source)
{
    private const int MaximumTokenCount = 1 << 21;

    private readonly Dictionary<string, int> _tokenOfSpelling = new(StringComparer.Ordinal);
    private readonly Dictionary<int, string> _specialNames = [];
    private readonly List<Merge> _merges = [];

    /// <summary>The file that is being read, for messages.</summary>
    public string Source { get; set; } = source;

    public void AddTokens(JsonElement spellings)
    {
        if (spellings.ValueKind != JsonValueKind.Object)
            throw Fault("an object {token: number} is expected as the vocabulary");
        foreach (JsonProperty entry in spellings.EnumerateObject())
            _tokenOfSpelling[entry.Name] = NumberOf(entry.Value, entry.Name);
    }

    public void AddSpecial(string name, JsonElement number) => _specialNames[NumberOf(number, name)] = name;

    public void AddMerge(string line, string place)
    {
        int space = line.IndexOf(' ', StringComparison.Ordinal);
        if (space <= 0 || space == line.Length - 1)
            throw Fault($"two tokens with a space between are expected in {place}, found \"{line}\"");
        AddMerge(line[..space], line[(space + 1)..], place);
    }

    public void AddMerge(string left, string right, string place) =>
        _merges.Add(new Merge(TokenOf(left, place), TokenOf(right, place), TokenOf(left + right, place)));

    public BpeVocabulary Build()
    {
        int count = 1 + Math.Max(_tokenOfSpelling.Values.DefaultIfEmpty(-1).Max(), _specialNames.Keys.DefaultIfEmpty(-1).Max());
        int endOfText = FindEndOfText() ?? count;
        _specialNames[endOfText] = BpeVocabulary.EndOfTextName;
        byte[][] tokens = new byte[Math.Max(count, endOfText + 1)][];
        Array.Fill(tokens, []);
        foreach (var (spelling, token) in _tokenOfSpelling)
        {
            // A spelling outside of the alphabet can only be a special token that the file does not list as such.
            if (ByteAlphabet.TryRead(spelling) is { } bytes)
                tokens[token] = bytes;
            else
                _specialNames.TryAdd(token, spelling);
        }
        foreach (var (token, name) in _specialNames)
            tokens[token] = Encoding.UTF8.GetBytes(name);
        return new BpeVocabulary(tokens, _merges, _specialNames, endOfText);
    }

    private int? FindEndOfText()
    {
        foreach (var (token, name) in _specialNames)
        {
            if (name == BpeVocabulary.EndOfTextName)
                return token;
        }
        return _tokenOfSpelling.TryGetValue(BpeVocabulary.EndOfTextName, out int listed) ? listed : null;
    }

    private int TokenOf(string spelling, string place) => _tokenOfSpelling.TryGetValue(spelling, out int token)
        ? token
        : throw Fault($"the token \"{spelling}\" of {place} is not in the vocabulary");

    private int NumberOf(JsonElement value, string name) =>
        value.ValueKind == JsonValueKind.Number && value.TryGetInt32(out int number) && number is >= 0 and < MaximumTokenCount
            ? number
            : throw Fault($"the number of the token \"{name}\" is {value}: 0 to {MaximumTokenCount - 1} is expected");

    public DataException Fault(string what) => new($"{Source}: {what}. Take the files as the tokenizer's author published them.");
}
