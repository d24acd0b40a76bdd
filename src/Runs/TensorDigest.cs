namespace Pipeline.Runs;

/// <summary>Hashes of one parameter and its optimizer state after a step.</summary>
/// <param name="Unit">The unit that owns it.</param>
/// <param name="Tensor">The parameter's name.</param>
/// <param name="Weight">Hash of the weight, hexadecimal.</param>
/// <param name="FirstMoment">Hash of <c>exp_avg</c>; null where it is not trained.</param>
/// <param name="SecondMoment">Hash of <c>exp_avg_sq</c>; null where it is not trained.</param>
public sealed record TensorDigest(string Unit, string Tensor, string Weight, string? FirstMoment, string? SecondMoment);

/// <summary>The state of a whole model after a step, in hashes: what tells at which step and tensor two runs part.</summary>
/// <param name="Step">The step.</param>
/// <param name="Tensors">In the model's order.</param>
public sealed record StepDigests(long Step, IReadOnlyList<TensorDigest> Tensors);

/// <summary>Where two runs part.</summary>
/// <param name="Step">The first step at which they differ.</param>
/// <param name="Unit">The first unit, in the model's order.</param>
/// <param name="Tensor">The parameter.</param>
/// <param name="Part">What differs of it: <c>weight</c>, <c>exp_avg</c>, <c>exp_avg_sq</c>, or <c>presence</c> where one run has no such tensor.</param>
public sealed record DigestDifference(long Step, string Unit, string Tensor, string Part)
{
    /// <summary>The first difference over the steps that both runs have hashes of; null where they agree.</summary>
    /// <param name="left">Steps rising.</param>
    /// <param name="right">Steps rising.</param>
    public static DigestDifference? First(IEnumerable<StepDigests> left, IEnumerable<StepDigests> right)
    {
        using var a = left.GetEnumerator();
        using var b = right.GetEnumerator();
        var (hasA, hasB) = (a.MoveNext(), b.MoveNext());
        while (hasA && hasB)
        {
            if (a.Current.Step == b.Current.Step && Compare(a.Current, b.Current) is { } difference)
                return difference;
            var (stepA, stepB) = (a.Current.Step, b.Current.Step);
            if (stepA <= stepB)
                hasA = a.MoveNext();
            if (stepB <= stepA)
                hasB = b.MoveNext();
        }

        return null;
    }

    private static DigestDifference? Compare(StepDigests left, StepDigests right)
    {
        var others = right.Tensors.ToDictionary(tensor => (tensor.Unit, tensor.Tensor));
        foreach (var tensor in left.Tensors)
        {
            if (!others.Remove((tensor.Unit, tensor.Tensor), out var other))
                return new(left.Step, tensor.Unit, tensor.Tensor, "presence");
            if (DifferingPart(tensor, other) is { } part)
                return new(left.Step, tensor.Unit, tensor.Tensor, part);
        }

        var extra = right.Tensors.FirstOrDefault(tensor => others.ContainsKey((tensor.Unit, tensor.Tensor)));
        return extra is null ? null : new(left.Step, extra.Unit, extra.Tensor, "presence");
    }

    private static string? DifferingPart(TensorDigest left, TensorDigest right)
    {
        if (left.Weight != right.Weight)
            return DigestFile.WeightName;
        if (left.FirstMoment != right.FirstMoment)
            return DigestFile.FirstMomentName;
        return left.SecondMoment != right.SecondMoment ? DigestFile.SecondMomentName : null;
    }
}
