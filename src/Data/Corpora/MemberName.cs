namespace Pipeline.Data;

/// <summary>
/// A documentation identifier such as <c>M:System.Text.StringBuilder.Append(System.Char)</c>, taken apart
/// (C# specification, annex D.4.2, "ID string format").
/// </summary>
/// <param name="FullTypeName">The type with its namespace; for a member the type that declares it.</param>
/// <param name="TypeName">The type alone.</param>
/// <param name="Name">The member alone, a constructor by its type's name; empty for a type.</param>
internal readonly record struct MemberName(string FullTypeName, string TypeName, string Name)
{
    /// <summary>How a sentence calls it: the type, or type and member.</summary>
    public string ShortName => Name.Length == 0 || Name == TypeName ? TypeName : TypeName.Length == 0 ? Name : $"{TypeName}.{Name}";

    public static MemberName Parse(string identifier)
    {
        ReadOnlySpan<char> rest = identifier;
        bool isMember = rest.Length > 1 && rest[1] == ':' && rest[0] is 'M' or 'P' or 'F' or 'E';
        if (rest.Length > 1 && rest[1] == ':')
            rest = rest[2..];
        int end = rest.IndexOfAny('(', '~');
        if (end >= 0)
            rest = rest[..end];
        if (!isMember)
            return new MemberName(rest.ToString(), WithoutArity(LastSegment(rest)), "");
        int dot = rest.LastIndexOf('.');
        ReadOnlySpan<char> type = dot < 0 ? "" : rest[..dot];
        string typeName = WithoutArity(LastSegment(type));
        ReadOnlySpan<char> member = rest[(dot + 1)..];
        return new MemberName(type.ToString(), typeName, member is "#ctor" or "#cctor" ? typeName : WithoutArity(LastSegment(member)));
    }

    // Explicit interface implementations write the dots of the interface's name as '#'.
    private static ReadOnlySpan<char> LastSegment(ReadOnlySpan<char> name) => name[(name.LastIndexOfAny('.', '#') + 1)..];

    private static string WithoutArity(ReadOnlySpan<char> name)
    {
        int tick = name.IndexOf('`');
        return (tick < 0 ? name : name[..tick]).ToString();
    }
}
