using System.Collections.Frozen;
using MessagePack;
using MessagePack.Formatters;
using MessagePack.Resolvers;

namespace Pipeline.Protocol.Wire;

/// <summary>
/// Gives formatters for the messages of the manifest table and for what they are made of, and for nothing else: no type is ever looked
/// up by a name from the wire.
/// </summary>
internal sealed class ClosedResolver : IFormatterResolver
{
    private static readonly IFormatterResolver Inner = CompositeResolver.Create(
        BuiltinResolver.Instance, DynamicEnumResolver.Instance, DynamicGenericResolver.Instance, DynamicObjectResolver.Instance);

    private static readonly FrozenSet<Type> Values = new[]
    {
        typeof(bool), typeof(int), typeof(long), typeof(ulong), typeof(double), typeof(string), typeof(ReadOnlyMemory<byte>),
    }.ToFrozenSet();

    private ClosedResolver()
    {
    }

    /// <summary>Our types only, collision-resistant hashing, shallow, uncompressed.</summary>
    internal static MessagePackSerializerOptions Options { get; } = MessagePackSerializerOptions.Standard
        .WithResolver(new ClosedResolver())
        .WithSecurity(MessagePackSecurity.UntrustedData.WithMaximumObjectGraphDepth(16));

    /// <inheritdoc/>
    public IMessagePackFormatter<T>? GetFormatter<T>() => Holder<T>.Formatter;

    private static bool IsAllowed(Type type) =>
        Values.Contains(type)
        || type.Assembly == typeof(ClosedResolver).Assembly
        || (type.IsGenericType && IsWrapper(type.GetGenericTypeDefinition()) && IsAllowed(type.GetGenericArguments()[0]));

    private static bool IsWrapper(Type type) => type == typeof(IReadOnlyList<>) || type == typeof(Nullable<>);

    private static class Holder<T>
    {
        internal static readonly IMessagePackFormatter<T>? Formatter = IsAllowed(typeof(T)) ? Inner.GetFormatter<T>() : null;
    }
}
