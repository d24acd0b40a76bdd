using System.Text.Json.Nodes;

namespace Pipeline.Checkpoints.Export;

/// <summary>
/// Models with layer norm, learned positions and GELU, as Hugging Face's <c>GPT2LMHeadModel</c> reads them: its matrices are transposed,
/// and it always has biases, which are zeros where ours has none.
/// </summary>
internal static class Gpt2Layout
{
    internal static IEnumerable<TensorSource> Tensors(ExportModel model, TensorViews views)
    {
        yield return views.Whole("transformer.wte.weight", "embedding.tokens.weight");
        yield return views.Whole("transformer.wpe.weight", "embedding.positions.weight");
        for (var layer = 0; layer < model.Layers; layer++)
        {
            foreach (var tensor in Block(model, views, layer)) yield return tensor;
        }

        foreach (var tensor in Norm(model, views, "transformer.ln_f", $"{model.HeadName}.norm")) yield return tensor;
        if (!model.IsTied) yield return views.Head(model);
    }

    internal static JsonObject Configuration(ExportModel model) => new()
    {
        ["architectures"] = new JsonArray("GPT2LMHeadModel"),
        ["model_type"] = "gpt2",
        ["n_embd"] = model.Width,
        ["n_layer"] = model.Layers,
        ["n_head"] = model.Heads,
        ["n_inner"] = model.HiddenWidth,
        ["n_positions"] = model.Context,
        ["n_ctx"] = model.Context,
        // The approximation by tanh.
        ["activation_function"] = "gelu_new",
        ["layer_norm_epsilon"] = model.NormEpsilon,
        ["scale_attn_weights"] = true,
    };

    private static IEnumerable<TensorSource> Block(ExportModel model, TensorViews views, int layer)
    {
        var (own, theirs) = ($"layers.{layer}", $"transformer.h.{layer}");
        return
        [
            .. Norm(model, views, $"{theirs}.ln_1", $"{own}.attention.norm"),
            .. Product(model, views, $"{theirs}.attn.c_attn", $"{own}.attention.qkv", 3L * model.Width),
            .. Product(model, views, $"{theirs}.attn.c_proj", $"{own}.attention.output", model.Width),
            .. Norm(model, views, $"{theirs}.ln_2", $"{own}.mlp.norm"),
            .. Product(model, views, $"{theirs}.mlp.c_fc", $"{own}.mlp.up", model.HiddenWidth),
            .. Product(model, views, $"{theirs}.mlp.c_proj", $"{own}.mlp.down", model.Width),
        ];
    }

    private static IEnumerable<TensorSource> Norm(ExportModel model, TensorViews views, string theirs, string own)
    {
        yield return views.Whole($"{theirs}.weight", $"{own}.weight");
        yield return Bias(model, views, theirs, own, model.Width);
    }

    private static IEnumerable<TensorSource> Product(ExportModel model, TensorViews views, string theirs, string own, long width)
    {
        yield return views.Transposed($"{theirs}.weight", $"{own}.weight");
        yield return Bias(model, views, theirs, own, width);
    }

    private static TensorSource Bias(ExportModel model, TensorViews views, string theirs, string own, long width) =>
        model.HasBias ? views.Whole($"{theirs}.bias", $"{own}.bias") : views.Zeros($"{theirs}.bias", $"{own}.weight", width);
}
