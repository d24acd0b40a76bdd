namespace Pipeline.Data;

/// <summary>One piece of text that belongs together: the unit of the hold-out. Line ends are <c>\n</c>.</summary>
/// <param name="Name">Where it comes from: a file, a file and a line or piece, a documented type.</param>
/// <param name="Text">Never only white space.</param>
public sealed record Document(string Name, string Text);
