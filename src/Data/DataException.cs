namespace Pipeline.Data;

/// <summary>
/// Something about the corpus, the tokenizer or the prepared files that the user can mend. The message says what was
/// expected, what was found (with path, line or byte offset) and the remedy.
/// </summary>
public sealed class DataException : Exception
{
    public DataException(string message) : base(message) { }

    public DataException(string message, Exception innerException) : base(message, innerException) { }
}
