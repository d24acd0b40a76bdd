using System.Runtime.InteropServices;
using Pipeline.Model.Training;
using Pipeline.Model.Units;
using TorchSharp;

namespace Pipeline.Model.Generation;

/// <summary>
/// Continues a prompt token by token with a key-value cache. When the model's context is full it starts anew from the latest half, so
/// that texts may be longer than the context.
/// </summary>
/// <param name="model">All units; the caller owns it.</param>
/// <param name="context">Longest sequence that the model has positions for.</param>
/// <param name="tokenCount">Tokens that the tokenizer knows; a model may have rows for more, which are never drawn.</param>
public sealed class TextGenerator(StageModel model, int context, int tokenCount)
{
    /// <summary>The continuation of a prompt, without it.</summary>
    /// <param name="prompt">At least one token, each inside the vocabulary.</param>
    /// <param name="settings">How to draw.</param>
    /// <param name="maxTokenCount">Tokens to write at most.</param>
    /// <param name="endToken">Token that ends the text and is not returned; null to go on regardless.</param>
    public IEnumerable<int> Continue(IReadOnlyList<int> prompt, SamplingSettings settings, int maxTokenCount, int? endToken)
    {
        if (prompt.Count == 0) throw new ArgumentException("A prompt of at least one token is needed.", nameof(prompt));
        List<int> text = [.. prompt];
        var session = new SessionState();
        try
        {
            for (var place = 0; place < maxTokenCount; place++)
            {
                if (session.Position >= context)
                {
                    session.Dispose();
                    session = new SessionState();
                }

                var token = TokenSampler.Draw(NextLogits(text, session), settings, place);
                if (token == endToken) yield break;
                text.Add(token);
                yield return token;
            }
        }
        finally
        {
            session.Dispose();
        }
    }

    private float[] NextLogits(List<int> text, SessionState session)
    {
        var decodes = session.Position > 0;
        var count = decodes ? 1 : text.Count < context ? text.Count : Math.Max(1, context / 2);
        var newest = text.GetRange(text.Count - count, count).Select(token => (long)token).ToArray();
        using var tokens = torch.tensor(newest, [1, count], device: model.Options.Device);
        using var batch = new MicroBatch(0, 0, [0], tokens, tokens);
        using var pass = model.Forward(batch, null, decodes ? PassMode.Decode : PassMode.Prefill, session);
        session.Advance(count);
        using var logits = pass.Output.cpu();
        return MemoryMarshal.Cast<byte, float>(logits.bytes)[..tokenCount].ToArray();
    }
}
