using Pipeline.Protocol.Frames;
using TorchSharp;
using static TorchSharp.torch;

namespace Pipeline.Stages;

/// <summary>Tensors to frames and back. Copies; owns nothing.</summary>
internal static class TensorBytes
{
    /// <summary>The bytes of a tensor as a frame; the tensor stays the caller's.</summary>
    /// <param name="key">Which it is.</param>
    /// <param name="tensor">The tensor.</param>
    /// <param name="span">The span that it is sent from; 0 for none.</param>
    internal static TensorFrame ToFrame(FrameKey key, Tensor tensor, ulong span = 0)
    {
        using var guard = no_grad();
        using var scope = NewDisposeScope();
        var onHost = tensor.device_type == DeviceType.CPU ? tensor : tensor.cpu();
        var rowMajor = onHost.is_contiguous() ? onHost : onHost.contiguous();
        var bytes = GC.AllocateUninitializedArray<byte>(checked((int)(rowMajor.numel() * rowMajor.element_size())));
        rowMajor.bytes.CopyTo(bytes);
        return new TensorFrame(key, [new FrameTensor(WireType(tensor.dtype), rowMajor.shape, bytes.Length)], bytes, span);
    }

    /// <summary>One tensor of a frame on a device, aligned as every tensor of the library; owned by the caller.</summary>
    internal static Tensor ToTensor(TensorFrame frame, int index, Device device)
    {
        using var guard = no_grad();
        var header = frame.Tensors[index];
        var onHost = empty([.. header.Shape], TorchType(header.DataType), CPU).DetachFromDisposeScope();
        frame.BytesOf(index).Span.CopyTo(onHost.bytes);
        if (device.type == DeviceType.CPU) return onHost;
        using (onHost) return onHost.to(device).DetachFromDisposeScope();
    }

    /// <summary>How the wire names a type.</summary>
    internal static FrameDataType WireType(ScalarType type) => type switch
    {
        ScalarType.Float32 => FrameDataType.Float32,
        ScalarType.BFloat16 => FrameDataType.BFloat16,
        ScalarType.Float64 => FrameDataType.Float64,
        ScalarType.Int64 => FrameDataType.Int64,
        ScalarType.Byte => FrameDataType.Byte,
        _ => throw new InvalidOperationException($"Tensors of type {type} do not travel."),
    };

    /// <summary>What a type of the wire is here.</summary>
    internal static ScalarType TorchType(FrameDataType type) => type switch
    {
        FrameDataType.Float32 => ScalarType.Float32,
        FrameDataType.BFloat16 => ScalarType.BFloat16,
        FrameDataType.Float64 => ScalarType.Float64,
        FrameDataType.Int64 => ScalarType.Int64,
        FrameDataType.Byte => ScalarType.Byte,
        _ => throw new InvalidOperationException($"Tensors of type {type} do not travel."),
    };
}
