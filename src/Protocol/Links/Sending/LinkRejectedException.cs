namespace Pipeline.Protocol.Links;

/// <summary>The receiver said why it does not take a connection, or no longer.</summary>
internal sealed class LinkRejectedException(LinkVerdict verdict, Generation generation, string reason) : Exception(reason)
{
    /// <summary>Why.</summary>
    internal LinkVerdict Verdict { get; } = verdict;

    /// <summary>Latest generation that the receiver knows.</summary>
    internal Generation Generation { get; } = generation;

    /// <summary>Whether another attempt may succeed.</summary>
    internal bool IsPassing => Verdict is LinkVerdict.NotReady or LinkVerdict.Busy or LinkVerdict.Corrupt;

    /// <summary>That of a record.</summary>
    /// <exception cref="LinkProtocolException">The record makes no sense.</exception>
    internal static LinkRejectedException Of(LinkRecord record)
    {
        var verdict = (LinkVerdict)record.Small;
        if (verdict == LinkVerdict.Accepted || !Enum.IsDefined(verdict) || record.Large is 0 or > int.MaxValue)
            throw new LinkProtocolException($"A rejection with reason {record.Small} and generation {record.Large}.");
        var generation = new Generation((int)record.Large);
        return new LinkRejectedException(verdict, generation, verdict switch
        {
            LinkVerdict.Fenced => $"The receiver is at generation {generation}: this sender was replaced.",
            LinkVerdict.Corrupt => "A frame was altered on its way.",
            _ => $"The receiver ended the connection: {verdict}.",
        });
    }
}
