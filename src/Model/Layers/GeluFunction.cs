using System.Runtime.Intrinsics;
using Pipeline.Model.Units;
using static TorchSharp.torch;

namespace Pipeline.Model.Layers;

/// <summary>
/// GELU in its tanh form (Hendrycks and Gimpel 2016), written as x · sigmoid(2u), u = √(2/π)(x + 0.044715 x³), for fp32 and bf16 on a
/// CPU: one pass over memory each way, computed in fp32. Elsewhere the library's kernel.
/// </summary>
internal sealed class GeluFunction : autograd.SingleTensorFunction<GeluFunction>
{
    private const float Slope = 1.5957691216057308f; // 2 · √(2/π)
    private const float Cubic = 0.044715f;

    /// <inheritdoc/>
    public override string Name => nameof(GeluFunction);

    internal static Tensor Apply(Tensor input, bool trains, BackwardFaults faults)
    {
        if (!ElementWise.Serves(input))
            return nn.functional.gelu(input, TorchSharp.Modules.GELU.Approximate.tanh);
        return trains ? apply(input, faults) : Forward(input);
    }

    /// <inheritdoc/>
    public override Tensor forward(autograd.AutogradContext ctx, params object[] vars)
    {
        var input = (Tensor)vars[0];
        ctx.set_materialize_grads(false);
        ctx.save_for_backward([input]);
        ctx.save_data("faults", vars[1]);
        return Forward(input);
    }

    /// <inheritdoc/>
    public override List<Tensor> backward(autograd.AutogradContext ctx, Tensor grad_output)
    {
        try
        {
            using var guard = no_grad();
            using var gradient = grad_output.contiguous();
            var input = ctx.get_saved_variables()[0];
            var result = empty_like(input);
            ElementWise.Binary(input, gradient, result, new Derivative());
            return [result, null!];
        }
        catch (Exception fault) when (fault is not OutOfMemoryException)
        {
            ((BackwardFaults)ctx.get_data("faults")).Keep(fault);
            return [null!, null!];
        }
    }

    private static Tensor Forward(Tensor input)
    {
        using var contiguous = input.contiguous();
        var result = empty_like(contiguous);
        ElementWise.Binary(contiguous, contiguous, result, new Value());
        return result;
    }

    private static Vector256<float> Sigmoid(Vector256<float> x) =>
        Vector256<float>.One / (Vector256<float>.One + Exponential.Of(-x));

    private readonly struct Value : IBinaryKernel
    {
        public Vector256<float> Compute(Vector256<float> x, Vector256<float> ignored)
        {
            var cubic = Vector256.Create(Cubic) * x * x * x;
            return x * Sigmoid(Vector256.Create(Slope) * (x + cubic));
        }
    }

    private readonly struct Derivative : IBinaryKernel
    {
        public Vector256<float> Compute(Vector256<float> x, Vector256<float> gradient)
        {
            var square = x * x;
            var gate = Sigmoid(Vector256.Create(Slope) * (x + Vector256.Create(Cubic) * square * x));
            var inner = Vector256.Create(Slope) * (Vector256<float>.One + Vector256.Create(3 * Cubic) * square);
            return gradient * (gate + x * gate * (Vector256<float>.One - gate) * inner);
        }
    }
}
