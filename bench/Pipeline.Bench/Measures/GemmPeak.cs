using Pipeline.Model;
using Pipeline.Model.Numerics;
using static TorchSharp.torch;

namespace Pipeline.Bench.Measures;

/// <summary>Times square matrix products. Owns its operands until disposed.</summary>
internal sealed class GemmPeak : IDisposable
{
    private readonly Tensor _first;
    private readonly Tensor _second;
    private readonly int _size;
    private readonly Func<Tensor, Tensor, Tensor> _product;

    private GemmPeak(int size, ScalarType type, Func<Tensor, Tensor, Tensor> product)
    {
        _size = size;
        _product = product;
        using var generator = new Generator(1);
        using var first = randn(size, size, generator: generator);
        using var second = randn(size, size, generator: generator);
        _first = first.to_type(type, copy: true);
        _second = second.to_type(type, copy: true);
    }

    /// <summary>Products as the product computes them: on a processor without wide bf16 through fp32.</summary>
    public static GemmPeak AsComputed(int size, Precision precision) =>
        new(size, precision == Precision.Bf16 ? ScalarType.BFloat16 : ScalarType.Float32, Products.MatMul);

    /// <summary>Products in the library's own bf16 kernel, fast here or not.</summary>
    public static GemmPeak NativeBf16(int size) => new(size, ScalarType.BFloat16, (first, second) => first.matmul(second));

    /// <summary>Floating-point operations per second, by wall and by processor time, of some products in a row.</summary>
    public (double Wall, double Cpu) Rate(int count)
    {
        using var guard = no_grad();
        var elapsed = Elapsed.Of(() =>
        {
            for (var index = 0; index < count; index++) _product(_first, _second).Dispose();
        });
        var operations = 2.0 * _size * _size * _size * count;
        return (operations / elapsed.WallSeconds, operations / elapsed.CpuSeconds);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _first.Dispose();
        _second.Dispose();
    }
}
