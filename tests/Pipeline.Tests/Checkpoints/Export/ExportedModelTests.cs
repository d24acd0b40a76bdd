using System.Runtime.InteropServices;
using Pipeline.Checkpoints;
using Pipeline.Checkpoints.Export;
using Pipeline.Model;
using Pipeline.Model.Units;
using Pipeline.Stages;
using Pipeline.Tests.Model;
using Pipeline.Tests.Runs;
using Xunit;
using static TorchSharp.torch;

namespace Pipeline.Tests.Checkpoints.Export;

/// <summary>An exported model, read by its names alone, computes what ours computes.</summary>
public sealed class ExportedModelTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(true, false)]
    [InlineData(true, true)]
    [InlineData(false, true)]
    [InlineData(false, false)]
    [InlineData(true, false, 3)]
    [InlineData(false, false, 2)]
    public void The_logits_are_those_of_the_model_that_was_saved(bool isLlama, bool tied, int headSlices = 1)
    {
        // Large weights, so that every part of the model moves the result.
        var settings = (isLlama ? TinyModels.LlamaSettings() : TinyModels.Settings()) with { Tied = tied, InitialDeviation = 0.3, Bias = !isLlama && tied, HeadSlices = headSlices };
        using var model = TinyModels.Whole(settings, trains: false);
        var store = new FolderCheckpointStore(_folder.In("checkpoints"));
        store.Commit(new(1, 0), SampleCheckpoint.Description, StateWriter.Write(store, new(1, 0), model));
        using (var reader = store.Open(1)) HuggingFaceExport.Write(reader, Shape(settings), _folder.In("out"), 10_000);

        int[] tokens = [3, 9, 27, 60, 1, 5];
        NaiveTransformer exported = new(Read(), settings.Heads, settings.KeyValueHeads, settings.Layers);
        var expected = isLlama ? exported.Llama(tokens) : exported.Gpt2(tokens);
        var found = Logits(model, [.. tokens.Select(token => (long)token)]);
        Assert.Equal(expected.Length, found.Length);
        var largest = expected.Max(Math.Abs);
        // Two blocks of fp32 sums of at most 160 products each, against doubles.
        for (var token = 0; token < found.Length; token++) Assert.Equal(expected[token], found[token], largest * 2 * 160 * 1.2e-7);
    }

    private static ExportModel Shape(ModelSettings model) => new(model.Layers, model.Width, model.Heads, model.KeyValueHeads, model.HiddenWidth, model.Context, model.Vocabulary)
    {
        IsTied = model.Tied,
        HasBias = model.Bias,
        HasRmsNorm = model.Norm == NormKind.Rms,
        HasRope = model.Positions == PositionKind.Rope,
        HasSwiGlu = model.Activation == ActivationKind.SwiGlu,
        NormEpsilon = model.NormEpsilon,
        RopeBase = model.RopeBase,
        HeadSlices = model.HeadSlices,
    };

    private static float[] Logits(Pipeline.Model.Training.StageModel model, long[] tokens)
    {
        using var session = new SessionState();
        using var input = tensor(tokens, [1, tokens.Length]);
        using var batch = new MicroBatch(0, 0, [0], input, input);
        using var pass = model.Forward(batch, null, PassMode.Prefill, session);
        return MemoryMarshal.Cast<byte, float>(pass.Output.bytes).ToArray();
    }

    private Dictionary<string, (long[] Shape, float[] Values)> Read()
    {
        Dictionary<string, (long[] Shape, float[] Values)> tensors = new(StringComparer.Ordinal);
        foreach (var path in Directory.GetFiles(_folder.In("out"), "*.safetensors"))
        {
            using var reader = SafetensorsReader.Open(path);
            foreach (var entry in reader.Header.Entries)
            {
                var bytes = new byte[entry.ByteCount];
                reader.ReadTensor(entry.Name, 0, bytes);
                tensors.Add(entry.Name, ([.. entry.Shape], MemoryMarshal.Cast<byte, float>(bytes).ToArray()));
            }
        }

        return tensors;
    }
}
