using Pipeline.Model.Numerics;
using static TorchSharp.torch;

namespace Pipeline.Cli.Machine;

/// <summary>What comparing bits gave.</summary>
/// <param name="ComparisonCount">Results compared.</param>
/// <param name="Differences">What differed, such as <c>product fp32 at offset 3</c>; empty where bits depend on values only.</param>
public sealed record BitReport(int ComparisonCount, IReadOnlyList<string> Differences);

/// <summary>
/// Checks whether the bits of a result depend on where its operands lie or on which thread computes it. Equality of runs
/// over any number of stages rests on neither being so.
/// </summary>
public static class BitProbe
{
    private static readonly int[] Offsets = [1, 3, 5, 8, 13];
    private static readonly (int Rows, int Inner, int Columns)[] Shapes = [(96, 200, 130), (256, 192, 192), (128, 512, 65)];
    private const int ThreadCount = 4;

    /// <summary>Runs every comparison; about a second.</summary>
    public static BitReport Run() => ProbeThread.Run(1, Compare)[0];

    private static BitReport Compare()
    {
        List<string> differences = [];
        var count = 0;
        foreach (var type in new[] { ScalarType.Float32, ScalarType.BFloat16 })
        {
            foreach (var shape in Shapes) count += CompareProducts(shape, type, differences);
        }

        count += CompareElements(differences);
        return new(count, differences);
    }

    private static int CompareProducts((int Rows, int Inner, int Columns) shape, ScalarType type, List<string> differences)
    {
        using var scope = NewDisposeScope();
        using var mode = no_grad();
        var left = Values(shape.Rows * shape.Inner, type);
        var right = Values(shape.Inner * shape.Columns, type);
        byte[] Product(int offset)
        {
            using var inner = NewDisposeScope();
            return Moved(left, offset).view(shape.Rows, shape.Inner).matmul(Moved(right, offset).view(shape.Inner, shape.Columns)).bytes.ToArray();
        }

        return Compare($"product {shape.Rows}×{shape.Inner}×{shape.Columns} {type}", Product, differences);
    }

    private static int CompareElements(List<string> differences)
    {
        using var scope = NewDisposeScope();
        using var mode = no_grad();
        var values = Values(65_539, ScalarType.Float32);
        byte[] Sum(int offset)
        {
            using var inner = NewDisposeScope();
            return Moved(values, offset).sum().bytes.ToArray();
        }

        byte[] Gelu(int offset)
        {
            using var inner = NewDisposeScope();
            return nn.functional.gelu(Moved(values, offset)).bytes.ToArray();
        }

        return Compare("sum", Sum, differences) + Compare("gelu", Gelu, differences);
    }

    private static int Compare(string name, Func<int, byte[]> compute, List<string> differences)
    {
        var expected = compute(0);
        foreach (var offset in Offsets)
        {
            if (!expected.AsSpan().SequenceEqual(compute(offset))) differences.Add($"{name} at offset {offset}");
        }

        var results = ProbeThread.Run(ThreadCount, () => compute(0));
        if (!results.All(result => expected.AsSpan().SequenceEqual(result))) differences.Add($"{name} on other threads");
        return Offsets.Length + ThreadCount;
    }

    /// <summary>The values copied to a place that many elements past an aligned start.</summary>
    private static Tensor Moved(Tensor values, int offset)
    {
        var place = empty(values.NumberOfElements + offset, dtype: values.dtype).narrow(0, offset, values.NumberOfElements);
        return place.copy_(values);
    }

    /// <summary>Values without a pattern, the same at every call: sines of a quadratic.</summary>
    private static Tensor Values(int count, ScalarType type)
    {
        var index = NumberArguments.Range(0, count, CPU).to_type(ScalarType.Float32);
        return index.Times(0.61803).Plus(index.mul(index).Times(0.0007)).sin().to_type(type);
    }
}
