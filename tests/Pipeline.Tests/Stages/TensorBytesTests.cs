using Pipeline.Protocol;
using Pipeline.Protocol.Frames;
using Pipeline.Stages;
using Pipeline.Tests.Model;
using Pipeline.Tests.Training;
using TorchSharp;
using Xunit;

namespace Pipeline.Tests.Stages;

[Collection(PipelineCollection.Name)]
public sealed class TensorBytesTests
{
    private static readonly FrameKey Key = new(new StepKey(new RunId(1), Generation.First, 0, 1), 0, 0, 0, FrameKind.Gradient);

    [Theory]
    [InlineData(torch.ScalarType.Float32)]
    [InlineData(torch.ScalarType.BFloat16)]
    [InlineData(torch.ScalarType.Float64)]
    [InlineData(torch.ScalarType.Int64)]
    public void A_tensor_survives_the_wire_to_the_bit_also_when_it_is_not_contiguous(torch.ScalarType type)
    {
        var before = LiveTensors.Settle();
        using (torch.NewDisposeScope())
        {
            var tensor = torch.arange(24).to_type(type).view(2, 3, 4).transpose(0, 2);
            var frame = TensorFrameCodec.Decode(TensorFrameCodec.Encode(TensorBytes.ToFrame(Key, tensor)), FrameLimits.Default);
            using var copy = TensorBytes.ToTensor(frame, 0, torch.CPU);
            Assert.Equal(type, copy.dtype);
            Assert.Equal(tensor.shape, copy.shape);
            Assert.True(tensor.equal(copy).all().item<bool>());
        }

        Assert.Equal(before, torch.Tensor.TotalCount);
    }
}
