using System.Collections;
using System.Collections.Concurrent;
using System.Reflection;
using MessagePack;

namespace Pipeline.Protocol.Wire;

/// <summary>
/// Finds what a message lacks that its type says is always there. MessagePack leaves empty what was not sent, or was sent as nil: a handler would stumble over
/// it, and the actor with it. Of values, those are looked into that hold a reference, such as a node's address; numbers may always be their default.
/// </summary>
internal static class MissingParts
{
    private static readonly ConcurrentDictionary<Type, Part[]> s_parts = new();

    /// <summary>The path of the first part that is missing; null where nothing is.</summary>
    internal static string? In(object message)
    {
        foreach (var part in s_parts.GetOrAdd(message.GetType(), Parts))
        {
            if (part.MissingIn(message) is { } path) return path;
        }

        return null;
    }

    private static Part[] Parts(Type type)
    {
        // Not safe for several threads, and cheap beside what it saves.
        NullabilityInfoContext nullability = new();
        return [.. type.GetProperties()
            .Where(property => property.GetCustomAttribute<KeyAttribute>() is not null && (!property.PropertyType.IsValueType || HasParts(Held(property.PropertyType))))
            .Select(property => Part.Of(property, nullability.Create(property)))];
    }

    /// <summary>What a list, or a value that may be absent, is of; else the type itself.</summary>
    private static Type Held(Type type) => type.IsGenericType ? type.GetGenericArguments()[0] : type;

    /// <summary>Whether it is a type of the messages that has parts of its own.</summary>
    private static bool HasParts(Type type) => type.Assembly == typeof(MissingParts).Assembly && (!type.IsValueType || s_parts.GetOrAdd(type, Parts).Length > 0);

    /// <summary>A property that holds a reference.</summary>
    /// <param name="Property">Which.</param>
    /// <param name="IsRequired">Whether it is always there.</param>
    /// <param name="HoldsMessages">Whether it, or what its list holds, has parts of its own.</param>
    /// <param name="HoldsItems">Whether it is a list of what is always there, or has parts.</param>
    private sealed record Part(PropertyInfo Property, bool IsRequired, bool HoldsMessages, bool HoldsItems)
    {
        internal static Part Of(PropertyInfo property, NullabilityInfo nullability)
        {
            var isList = property.PropertyType is { IsGenericType: true, IsValueType: false };
            var held = Held(property.PropertyType);
            var hasParts = HasParts(held);
            return new Part(
                property,
                nullability.ReadState == NullabilityState.NotNull,
                hasParts,
                isList && (held.IsValueType ? hasParts : nullability.GenericTypeArguments[0].ReadState == NullabilityState.NotNull));
        }

        internal string? MissingIn(object message)
        {
            if (Property.GetValue(message) is not { } value) return IsRequired ? Property.Name : null;
            if (HoldsItems) return MissingIn((IEnumerable)value);
            return HoldsMessages && In(value) is { } path ? $"{Property.Name}.{path}" : null;
        }

        private string? MissingIn(IEnumerable list)
        {
            var index = 0;
            foreach (var item in list)
            {
                if (item is null) return FormattableString.Invariant($"{Property.Name}[{index}]");
                if (HoldsMessages && In(item) is { } path) return FormattableString.Invariant($"{Property.Name}[{index}].{path}");
                index++;
            }

            return null;
        }
    }
}
