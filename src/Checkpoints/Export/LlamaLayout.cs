using System.Text.Json.Nodes;

namespace Pipeline.Checkpoints.Export;

/// <summary>Models with RMSNorm, rotary positions and SwiGLU, without biases, as Hugging Face's <c>LlamaForCausalLM</c> reads them.</summary>
internal static class LlamaLayout
{
    internal static IEnumerable<TensorSource> Tensors(ExportModel model, TensorViews views)
    {
        yield return views.Whole("model.embed_tokens.weight", "embedding.tokens.weight");
        for (var layer = 0; layer < model.Layers; layer++)
        {
            foreach (var tensor in Block(model, views, layer)) yield return tensor;
        }

        yield return views.Whole("model.norm.weight", $"{model.HeadName}.norm.weight");
        if (!model.IsTied) yield return views.Head(model);
    }

    internal static JsonObject Configuration(ExportModel model) => new()
    {
        ["architectures"] = new JsonArray("LlamaForCausalLM"),
        ["model_type"] = "llama",
        ["hidden_size"] = model.Width,
        ["intermediate_size"] = model.HiddenWidth,
        ["num_hidden_layers"] = model.Layers,
        ["num_attention_heads"] = model.Heads,
        ["num_key_value_heads"] = model.KeyValueHeads,
        ["head_dim"] = model.HeadWidth,
        ["hidden_act"] = "silu",
        ["rms_norm_eps"] = model.NormEpsilon,
        ["rope_theta"] = model.RopeBase,
        ["max_position_embeddings"] = model.Context,
        ["attention_bias"] = false,
        ["mlp_bias"] = false,
    };

    private static IEnumerable<TensorSource> Block(ExportModel model, TensorViews views, int layer)
    {
        var (own, theirs) = ($"layers.{layer}", $"model.layers.{layer}");
        yield return views.Whole($"{theirs}.input_layernorm.weight", $"{own}.attention.norm.weight");
        // Queries, keys and values are rows of one matrix; the rotary layout is Hugging Face's already.
        yield return views.Rows($"{theirs}.self_attn.q_proj.weight", $"{own}.attention.qkv.weight", 0, model.Width);
        yield return views.Rows($"{theirs}.self_attn.k_proj.weight", $"{own}.attention.qkv.weight", model.Width, model.KeyWidth);
        yield return views.Rows($"{theirs}.self_attn.v_proj.weight", $"{own}.attention.qkv.weight", model.Width + model.KeyWidth, model.KeyWidth);
        yield return views.Whole($"{theirs}.self_attn.o_proj.weight", $"{own}.attention.output.weight");
        yield return views.Whole($"{theirs}.post_attention_layernorm.weight", $"{own}.mlp.norm.weight");
        yield return views.Rows($"{theirs}.mlp.gate_proj.weight", $"{own}.mlp.up.weight", 0, model.HiddenWidth);
        yield return views.Rows($"{theirs}.mlp.up_proj.weight", $"{own}.mlp.up.weight", model.HiddenWidth, model.HiddenWidth);
        yield return views.Whole($"{theirs}.mlp.down_proj.weight", $"{own}.mlp.down.weight");
    }
}
