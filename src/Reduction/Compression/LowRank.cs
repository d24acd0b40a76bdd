using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Pipeline.Reduction.Compression;

/// <summary>
/// Products of a matrix M [rows, columns] with thin ones. P and Q are held by column: P is rank × rows, Q rank × columns numbers.
/// All sums have one order, whatever the processor's vectors.
/// </summary>
internal static class LowRank
{
    /// <summary>P = orthonormal columns of M · former; Q = Mᵀ · P: one step of subspace iteration.</summary>
    internal static void Factor(ReadOnlySpan<float> values, MatrixRange matrix, ReadOnlySpan<float> former, Span<float> left, Span<float> right)
    {
        var rank = left.Length / matrix.Rows;
        for (var row = 0; row < matrix.Rows; row++)
        {
            var line = values.Slice(row * matrix.Columns, matrix.Columns);
            for (var column = 0; column < rank; column++)
                left[column * matrix.Rows + row] = Dot(line, former.Slice(column * matrix.Columns, matrix.Columns));
        }

        Orthonormalize(left, matrix.Rows);
        right.Clear();
        for (var row = 0; row < matrix.Rows; row++)
        {
            var line = values.Slice(row * matrix.Columns, matrix.Columns);
            for (var column = 0; column < rank; column++)
                AddScaled(right.Slice(column * matrix.Columns, matrix.Columns), line, left[column * matrix.Rows + row]);
        }
    }

    /// <summary>P · Qᵀ.</summary>
    internal static void Multiply(MatrixRange matrix, ReadOnlySpan<float> left, ReadOnlySpan<float> right, Span<float> product)
    {
        for (var row = 0; row < matrix.Rows; row++) Row(matrix, left, right, row, product.Slice(row * matrix.Columns, matrix.Columns));
    }

    /// <summary>difference = M − P · Qᵀ; it may be M's own memory.</summary>
    internal static void Subtract(ReadOnlySpan<float> values, MatrixRange matrix, ReadOnlySpan<float> left, ReadOnlySpan<float> right, Span<float> difference)
    {
        // Row by row into a line of its own, so that what is subtracted has the very bits of Multiply.
        var line = new float[matrix.Columns];
        for (var row = 0; row < matrix.Rows; row++)
        {
            Row(matrix, left, right, row, line);
            var start = row * matrix.Columns;
            for (var column = 0; column < line.Length; column++) difference[start + column] = values[start + column] - line[column];
        }
    }

    private static void Row(MatrixRange matrix, ReadOnlySpan<float> left, ReadOnlySpan<float> right, int row, Span<float> line)
    {
        line.Clear();
        for (var column = 0; column < left.Length / matrix.Rows; column++)
            AddScaled(line, right.Slice(column * matrix.Columns, matrix.Columns), left[column * matrix.Rows + row]);
    }

    /// <summary>Gram–Schmidt, each column against those before it, in double. A column that depends on them becomes zero.</summary>
    private static void Orthonormalize(Span<float> columns, int length)
    {
        const double Dependent = 1e-6;
        for (var start = 0; start < columns.Length; start += length)
        {
            var column = columns.Slice(start, length);
            var before = Math.Sqrt(DotInDouble(column, column));
            RemoveOthers(columns, start, length);
            Normalize(column, Dependent * before);
            // Of a column that nearly was the others', what rounding left of them is no longer small: twice is enough (Kahan, in Parlett 1980).
            RemoveOthers(columns, start, length);
            Normalize(column, 0);
        }
    }

    private static void RemoveOthers(Span<float> columns, int start, int length)
    {
        var column = columns.Slice(start, length);
        for (var other = 0; other < start; other += length)
        {
            var along = DotInDouble(column, columns.Slice(other, length));
            for (var index = 0; index < length; index++) column[index] = (float)(column[index] - along * columns[other + index]);
        }
    }

    private static void Normalize(Span<float> column, double least)
    {
        var norm = Math.Sqrt(DotInDouble(column, column));
        // Not a comparison that NaN would fail: what is not finite must come out as such.
        var factor = norm <= least ? 0 : 1 / norm;
        for (var index = 0; index < column.Length; index++) column[index] = (float)(column[index] * factor);
    }

    private static float Dot(ReadOnlySpan<float> left, ReadOnlySpan<float> right)
    {
        Vector256<float> first = default, second = default;
        ref var a = ref MemoryMarshal.GetReference(left);
        ref var b = ref MemoryMarshal.GetReference(right);
        var index = 0;
        for (; index <= left.Length - 16; index += 16)
        {
            first += Vector256.LoadUnsafe(ref a, (nuint)index) * Vector256.LoadUnsafe(ref b, (nuint)index);
            second += Vector256.LoadUnsafe(ref a, (nuint)index + 8) * Vector256.LoadUnsafe(ref b, (nuint)index + 8);
        }

        var sum = first + second;
        var four = sum.GetLower() + sum.GetUpper();
        var total = (four[0] + four[2]) + (four[1] + four[3]);
        for (; index < left.Length; index++) total += left[index] * right[index];
        return total;
    }

    private static double DotInDouble(ReadOnlySpan<float> left, ReadOnlySpan<float> right)
    {
        double sum = 0;
        for (var index = 0; index < left.Length; index++) sum += (double)left[index] * right[index];
        return sum;
    }

    private static void AddScaled(Span<float> sum, ReadOnlySpan<float> values, float factor)
    {
        ref var target = ref MemoryMarshal.GetReference(sum);
        ref var source = ref MemoryMarshal.GetReference(values);
        var factors = Vector256.Create(factor);
        var index = 0;
        for (; index <= sum.Length - 8; index += 8)
            (Vector256.LoadUnsafe(ref target, (nuint)index) + factors * Vector256.LoadUnsafe(ref source, (nuint)index)).StoreUnsafe(ref target, (nuint)index);
        for (; index < sum.Length; index++) sum[index] += factor * values[index];
    }
}
