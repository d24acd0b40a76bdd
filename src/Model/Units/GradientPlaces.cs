namespace Pipeline.Model.Units;

/// <summary>Where the gradients of a unit's parameters lie in its flat buffer, for whoever adds them up without holding the unit. Pure.</summary>
public static class GradientPlaces
{
    /// <summary>Elements of the buffer, those that pad it included.</summary>
    public static long LengthOf(Unit unit) => LayoutOf(unit).Length;

    /// <summary>Each parameter and its first element.</summary>
    public static IReadOnlyList<(ParameterSpec Parameter, long Offset)> Of(Unit unit)
    {
        var layout = LayoutOf(unit);
        return [.. unit.Parameters.Select(parameter => (parameter, layout[parameter].Offset))];
    }

    // Whose optimizer state lies where changes nothing of the gradient's places.
    private static UnitLayout LayoutOf(Unit unit) => new(unit.Parameters, _ => true, mastersEverything: true);
}
