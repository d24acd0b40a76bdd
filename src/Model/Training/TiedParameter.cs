using Pipeline.Model.Units;

namespace Pipeline.Model.Training;

/// <summary>
/// One use of a parameter that two units share. Each end keeps its own copy of the values and of the gradient; once a step the two
/// gradients are added (fp32 addition commutes, so both ends get the same bits) and both ends take the same optimizer step.
/// </summary>
/// <param name="Group">Full name of the owner.</param>
/// <param name="IsOwner">Whether this is the first use, which counts in the norm and is saved.</param>
/// <param name="Parameter">This end's memory.</param>
/// <param name="OwnerUnitIndex">Place of the owner's unit in the model.</param>
/// <param name="OtherUnitIndex">Place of the unit at the other end.</param>
public sealed record TiedParameter(string Group, bool IsOwner, ParameterState Parameter, int OwnerUnitIndex, int OtherUnitIndex)
{
    internal static IReadOnlyList<TiedParameter> Among(IReadOnlyList<Unit> model, IReadOnlyList<UnitState> held)
    {
        List<TiedParameter> ties = [];
        for (var user = 0; user < model.Count; user++)
        {
            foreach (var spec in model[user].Parameters.Where(spec => spec.TiedTo is not null))
            {
                var owner = OwnerOf(model, user, spec);
                Add(ties, held, owner, user, spec.TiedTo!, isOwner: true);
                Add(ties, held, user, owner, spec.TiedTo!, isOwner: false);
            }
        }

        return ties;
    }

    private static int OwnerOf(IReadOnlyList<Unit> model, int user, ParameterSpec spec)
    {
        for (var index = 0; index < user; index++)
        {
            var owner = model[index].Parameters.FirstOrDefault(candidate =>
                string.Equals(model[index].FullName(candidate), spec.TiedTo, StringComparison.Ordinal));
            if (owner is null) continue;
            if (!owner.Shape.SequenceEqual(spec.Shape))
                throw new ArgumentException($"{model[user].FullName(spec)} and {spec.TiedTo} are tied but differ in shape.", nameof(spec));
            return index;
        }

        throw new ArgumentException($"{model[user].FullName(spec)} is tied to {spec.TiedTo}, which no earlier unit has.", nameof(spec));
    }

    private static void Add(List<TiedParameter> ties, IReadOnlyList<UnitState> held, int unitIndex, int otherIndex, string group, bool isOwner)
    {
        if (held.FirstOrDefault(unit => unit.Index == unitIndex) is not { } unit) return;
        var parameter = unit.Parameters.First(parameter =>
            string.Equals(isOwner ? parameter.FullName : parameter.Spec.TiedTo, group, StringComparison.Ordinal));
        ties.Add(new TiedParameter(group, isOwner, parameter, isOwner ? unitIndex : otherIndex, otherIndex));
    }
}
