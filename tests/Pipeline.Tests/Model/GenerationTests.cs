using System.Runtime.InteropServices;
using Pipeline.Model.Generation;
using Pipeline.Model.Training;
using Pipeline.Model.Units;
using Xunit;
using static TorchSharp.torch;

namespace Pipeline.Tests.Model;

public sealed class GenerationTests
{
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    [InlineData(true, 3)]
    public void Decoding_with_the_cache_gives_the_logits_of_a_full_pass(bool llama, int headSlices = 1)
    {
        var settings = llama ? TinyModels.LlamaSettings() with { HeadSlices = headSlices } : TinyModels.Settings();
        using var model = TinyModels.Whole(settings, trains: false);
        long[] text = [3, 9, 27, 60, 1, 5];
        using var session = new SessionState();
        float[] cached = Logits(model, text[..3], PassMode.Prefill, session);
        foreach (var token in text[3..]) cached = Logits(model, [token], PassMode.Decode, session);
        using var fresh = new SessionState();
        var whole = Logits(model, text, PassMode.Prefill, fresh);
        // Sums of up to 64 products in another order.
        for (var token = 0; token < whole.Length; token++) Assert.Equal(whole[token], cached[token], 64 * 1.2e-7);
    }

    [Fact]
    public void The_same_seed_writes_the_same_text_past_the_context()
    {
        using var model = TinyModels.Whole(TinyModels.Settings(), trains: false);
        var generator = new TextGenerator(model, 8, 60);
        var settings = new SamplingSettings { Temperature = 1, TopK = 20, TopP = 0.9, Seed = 5 };
        var first = generator.Continue([1, 2], settings, 30, null).ToArray();
        Assert.Equal(30, first.Length);
        Assert.All(first, token => Assert.InRange(token, 0, 59));
        Assert.Equal(first, generator.Continue([1, 2], settings, 30, null).ToArray());
        Assert.NotEqual(first, generator.Continue([1, 2], settings with { Seed = 6 }, 30, null).ToArray());
    }

    [Fact]
    public void Draws_stay_inside_top_k_and_top_p_and_follow_the_distribution()
    {
        float[] logits = [MathF.Log(0.5f), MathF.Log(0.3f), MathF.Log(0.15f), MathF.Log(0.05f)];
        var settings = new SamplingSettings { Temperature = 1 };
        Assert.Equal(0, TokenSampler.Draw(logits, settings with { Temperature = 0 }, 0));
        Assert.All(Enumerable.Range(0, 500), place => Assert.True(TokenSampler.Draw(logits, settings with { TopK = 2 }, place) < 2));
        Assert.All(Enumerable.Range(0, 500), place => Assert.True(TokenSampler.Draw(logits, settings with { TopP = 0.75 }, place) < 2));
        var share = Enumerable.Range(0, 4000).Count(place => TokenSampler.Draw(logits, settings, place) == 0) / 4000.0;
        Assert.Equal(0.5, share, 4 * Math.Sqrt(0.25 / 4000));
    }

    private static float[] Logits(StageModel model, long[] tokens, PassMode mode, SessionState session)
    {
        using var input = tensor(tokens, [1, tokens.Length]);
        using var batch = new MicroBatch(0, 0, [0], input, input);
        using var pass = model.Forward(batch, null, mode, session);
        session.Advance(tokens.Length);
        return MemoryMarshal.Cast<byte, float>(pass.Output.bytes).ToArray();
    }
}
