using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Pipeline.Model.Numerics;
using Pipeline.Model.Training;
using Pipeline.Reduction.Compression;
using Pipeline.Stages;
using Pipeline.Tests.Model;
using Pipeline.Tests.Training;
using Xunit;
using static TorchSharp.torch;

namespace Pipeline.Tests.Stages.Replicas;

/// <summary>The weights of a unit on their way from the replica that updates them.</summary>
[Collection(PipelineCollection.Name)]
public sealed class UnitWeightsTests
{
    private static readonly CompressionSettings s_settings = new() { Kind = CompressionKind.Int4, WarmupSteps = 1 };

    [Fact]
    public void Owner_and_others_compute_with_the_same_and_come_to_the_exact_weights_once_these_stand_still()
    {
        TorchRuntime.Initialize();
        using var owner = TinyModels.Whole(TinyModels.Settings(layers: 1));
        using var other = TinyModels.Whole(TinyModels.Settings(layers: 1));
        using ResidualStore store = new();
        using var sender = Weights(owner, store);
        using var receiver = Weights(other, null);
        var exact = Floats(owner.Units[1].Master).ToArray();
        for (var step = 1; step <= 40; step++)
        {
            sender.Begin(step);
            Assert.Equal(exact, Floats(owner.Units[1].Master).ToArray());
            if (step < 5) Update(owner, step);
            exact = Floats(owner.Units[1].Master).ToArray();
            using var sent = sender.Encode(step);
            receiver.Decode(sent, step);
            Assert.Equal(Floats(owner.Units[1].Master).ToArray(), Floats(other.Units[1].Master).ToArray());
            // An uncompressed step sends what there is, a compressed one leaves something out.
            if (step < 5) Assert.Equal(step == 1, exact.AsSpan().SequenceEqual(Floats(other.Units[1].Master)));
        }

        // What is left out in a step is at most a fourteenth of the largest in its block, so that forty of them leave nothing but the last roundings.
        for (var index = 0; index < exact.Length; index++) Assert.InRange(Math.Abs(exact[index] - Floats(other.Units[1].Master)[index]), 0, Math.Max(1e-30f, Math.Abs(exact[index]) * 1e-6f));
    }

    [Fact]
    public void What_is_no_message_of_its_owner_is_refused_before_any_weight_moves()
    {
        TorchRuntime.Initialize();
        using var owner = TinyModels.Whole(TinyModels.Settings(layers: 1));
        using var other = TinyModels.Whole(TinyModels.Settings(layers: 1));
        using ResidualStore store = new();
        using var sender = Weights(owner, store);
        using var receiver = Weights(other, null);
        sender.Begin(2);
        Update(owner, 2);
        using var sent = sender.Encode(2);
        var (before, bytes) = (Floats(other.Units[1].Master).ToArray(), sent.bytes.ToArray());
        foreach (var length in new[] { 0, 3, 4, bytes.Length / 2, bytes.Length - 1 }) AssertRefused(bytes[..length]);
        AssertRefused([.. bytes, 0]);
        foreach (var claimed in new[] { -1, 0, int.MinValue, int.MaxValue, bytes.Length })
        {
            var altered = bytes.ToArray();
            BinaryPrimitives.WriteInt32LittleEndian(altered, claimed);
            AssertRefused(altered);
        }

        using (var floats = zeros(bytes.Length)) Assert.Throws<CompressionException>(() => receiver.Decode(floats, 2));
        // Of a step that is not compressed other bytes are awaited.
        Assert.Throws<CompressionException>(() => receiver.Decode(sent, 1));
        receiver.Decode(sent, 2);
        Assert.Equal(Floats(owner.Units[1].Master).ToArray(), Floats(other.Units[1].Master).ToArray());

        void AssertRefused(byte[] message)
        {
            using var tensor = empty(message.Length, ScalarType.Byte);
            message.CopyTo(tensor.bytes);
            Assert.Throws<CompressionException>(() => receiver.Decode(tensor, 2));
            Assert.Equal(before, Floats(other.Units[1].Master).ToArray());
        }
    }

    private static UnitWeights Weights(StageModel model, ResidualStore? store) => new(model.Units[1], 0, model.Units[1].Parameters, s_settings, store, 5);

    private static void Update(StageModel model, int step)
    {
        var weights = Floats(model.Units[1].Master);
        for (var index = 0; index < weights.Length; index++) weights[index] += 0.01f * MathF.Sin(index * 7 + step);
    }

    private static Span<float> Floats(Tensor tensor) => MemoryMarshal.Cast<byte, float>(tensor.bytes);
}
