namespace Pipeline.Protocol.Security.Guard;

/// <summary>A node that was dialled and with which no conversation came about.</summary>
/// <param name="Address">Host and port that were dialled.</param>
/// <param name="Clause">Why, without a full stop.</param>
/// <param name="IsCertain">Whether its certificate was refused here; else it is inferred from its silence.</param>
public sealed record DialRefusal(string Address, string Clause, bool IsCertain);
