using System.Runtime.InteropServices;
using Pipeline.Model.Training;
using Pipeline.Model.Units;
using Pipeline.Reduction.Compression;
using Pipeline.Reduction.Summation;
using static TorchSharp.torch;

namespace Pipeline.Stages;

/// <summary>
/// One parameter whose owner updates it and tells the other replicas how far it has moved, compressed. All of them, the owner too, compute with the weights that have arrived everywhere; the owner keeps
/// the exact ones beside them and sends the difference, so that what one step loses goes with the next, the rounding to the type that is computed with included. The one of the two that the
/// flat buffers do not hold, the exact weight of fp32 and the shared one of bf16, is part of the rank's state beside its residuals. On the compute thread only.
/// </summary>
internal sealed class SharedWeight : IDisposable
{
    /// <summary>What the names of their tensors begin with, after that of everything that is kept beside the stages.</summary>
    internal const string Prefix = "weights.";

    private readonly ParameterState _parameter;
    private readonly ResidualStore? _store;
    private readonly SpanStream _stream;
    private long? _begun;

    /// <param name="parameter">The parameter.</param>
    /// <param name="settings">Compression.</param>
    /// <param name="store">Where its owner keeps what the flat buffers do not hold; null where another replica owns it.</param>
    /// <param name="seed">The run's seed.</param>
    internal SharedWeight(ParameterState parameter, CompressionSettings settings, ResidualStore? store, ulong seed)
    {
        (_parameter, _store) = (parameter, store);
        // Nothing is lost that a residual would have to remember. All uses of a tied parameter take the same step, and have to send the same.
        _stream = new SpanStream(
            settings with { ErrorFeedback = false }, Length, MatricesOf(parameter), Prefix + (parameter.Spec.TiedTo ?? parameter.FullName), NameOf(parameter), seed, store);
        if (store is not null && (settings.Kind != CompressionKind.None || store.Holds(NameOf(parameter)))) _ = Kept();
    }

    /// <summary>Elements.</summary>
    internal int Length => checked((int)_parameter.Spec.ElementCount);

    /// <summary>The weights that are computed with, as they lie.</summary>
    internal Span<byte> Bytes => _parameter.Weight.bytes;

    private bool IsRounded => IsRoundedOf(_parameter);

    /// <summary>
    /// After a state was loaded: weights that are computed with are those that were shared, not the exact ones rounded; and where the state is not shared out any more all go on with the exact ones.
    /// </summary>
    /// <param name="model">A stage of the rank.</param>
    /// <param name="loaded">What was loaded beside it.</param>
    /// <param name="isSharedOut">Whether replicas update shares of the weights.</param>
    internal static void Restore(StageModel model, ResidualStore loaded, bool isSharedOut)
    {
        using var guard = no_grad();
        var isExact = false;
        foreach (var parameter in model.Units.SelectMany(unit => unit.Parameters).Where(parameter => IsRoundedOf(parameter) == isSharedOut))
        {
            using var kept = loaded.Loaded(NameOf(parameter));
            if (kept is null) continue;
            using var weight = Flat(isSharedOut ? parameter.Weight : parameter.Master);
            weight.copy_(kept);
            isExact = !isSharedOut;
        }

        if (isExact) model.StateLoaded();
    }

    /// <summary>Before the optimizer's step: its exact weights are where that one updates them.</summary>
    internal void Begin(long step)
    {
        _begun = step;
        if (!_stream.LosesAt(step) && !_store!.Holds(NameOf(_parameter))) return;
        _ = Kept();
        if (!IsRounded) Exchange();
    }

    /// <summary>After the optimizer's step: how far the weights have moved, which the caller owns. The owner computes with what the others will have from now on.</summary>
    /// <exception cref="InvalidOperationException">The step was not begun, so that the optimizer has updated what others have, or it was sent already.</exception>
    internal Tensor Encode(long step)
    {
        End(step);
        using var guard = no_grad();
        var kept = Kept();
        var sent = _stream.Encode(step, moved =>
        {
            var exact = Floats(_parameter.Master);
            var shared = Floats(kept);
            for (var index = 0; index < moved.Length; index++) moved[index] = exact[index] - shared[index];
        });
        Move(kept, sent, step);
        if (!IsRounded)
        {
            Exchange();
            return sent;
        }

        using var weight = Flat(_parameter.Weight);
        weight.copy_(kept);
        kept.copy_(weight);
        return sent;
    }

    /// <summary>After the optimizer's step, where its weights go as they are: nobody lacks anything of them.</summary>
    /// <exception cref="InvalidOperationException">As in <see cref="Encode"/>.</exception>
    internal void SendsWhole(long step)
    {
        End(step);
        if (!_store!.Holds(NameOf(_parameter))) return;
        using var guard = no_grad();
        using var weight = Flat(_parameter.Weight);
        Kept().copy_(weight);
    }

    /// <summary>Takes what its owner has sent.</summary>
    /// <exception cref="CompressionException">It is not what the owner could have sent.</exception>
    internal void Decode(Tensor sent, long step)
    {
        using var guard = no_grad();
        using var weight = Flat(_parameter.Weight);
        if (!IsRounded)
        {
            Move(weight, sent, step);
            return;
        }

        using var wide = weight.to_type(ScalarType.Float32);
        Move(wide, sent, step);
        weight.copy_(wide);
    }

    /// <inheritdoc/>
    public void Dispose() => _stream.Dispose();

    /// <summary>Each step is begun before the optimizer's and sent once after it.</summary>
    private void End(long step)
    {
        if (_begun != step) throw new InvalidOperationException($"Weights of {_parameter.FullName} are to be sent after step {step}; begun is {(_begun is { } begun ? $"step {begun}" : "none")}.");
        _begun = null;
    }

    private void Move(Tensor weights, Tensor sent, long step)
    {
        using var moved = new FloatBuffer(Length);
        _stream.Decode(sent, moved.Span, step);
        var target = Floats(weights);
        SpanSum.Add(target, moved.Span, target);
    }

    /// <summary>Exact and shared weights change places between the flat buffer and the store.</summary>
    private void Exchange()
    {
        var left = Floats(_parameter.Master);
        var right = Floats(Kept());
        for (var index = 0; index < left.Length; index++) (left[index], right[index]) = (right[index], left[index]);
    }

    private Tensor Kept()
    {
        var isNew = !_store!.Holds(NameOf(_parameter));
        var kept = _store.TensorOf(NameOf(_parameter), Length);
        if (!isNew) return kept;
        using var guard = no_grad();
        using var weight = Flat(_parameter.Weight);
        // So far all have had the same.
        kept.copy_(weight);
        return kept;
    }

    /// <summary>Whether weights are computed with in another type than the exact ones have.</summary>
    private static bool IsRoundedOf(ParameterState parameter) => parameter.Weight.dtype != ScalarType.Float32;

    private static string NameOf(ParameterState parameter) => Prefix + parameter.FullName;

    private static IReadOnlyList<MatrixRange> MatricesOf(ParameterState parameter) =>
        parameter.Spec.Shape is [var rows, var columns] ? [new MatrixRange(0, (int)rows, (int)columns)] : [];

    private static Tensor Flat(Tensor weight) => weight.view(-1);

    private static Span<float> Floats(Tensor tensor) => MemoryMarshal.Cast<byte, float>(tensor.bytes);
}
