namespace Pipeline.Tests.Checkpoints.Export;

/// <summary>
/// The forward passes of Hugging Face's Llama and GPT-2 written from their definitions with loops over doubles, by the names and layouts of
/// exported tensors: what an export means to whoever loads it.
/// </summary>
/// <param name="tensors">Exported tensors by name.</param>
/// <param name="headCount">Query heads.</param>
/// <param name="keyHeadCount">Key-value heads.</param>
/// <param name="layerCount">Blocks.</param>
internal sealed class NaiveTransformer(IReadOnlyDictionary<string, (long[] Shape, float[] Values)> tensors, int headCount, int keyHeadCount, int layerCount)
{
    private const double Epsilon = 1e-5;
    private const double RopeBase = 10_000;

    /// <summary>Logits after the last token.</summary>
    public double[] Llama(int[] tokens)
    {
        var hidden = tokens.Select(token => Row("model.embed_tokens.weight", token)).ToArray();
        for (var layer = 0; layer < layerCount; layer++)
        {
            var place = $"model.layers.{layer}.";
            var normed = Each(hidden, row => Rms(row, place + "input_layernorm.weight"));
            var query = Rotated(Each(normed, row => Multiply(row, place + "self_attn.q_proj.weight")), headCount);
            var key = Rotated(Each(normed, row => Multiply(row, place + "self_attn.k_proj.weight")), keyHeadCount);
            var value = Each(normed, row => Multiply(row, place + "self_attn.v_proj.weight"));
            hidden = Sum(hidden, Each(Attend(query, key, value), row => Multiply(row, place + "self_attn.o_proj.weight")));
            hidden = Sum(hidden, Each(Each(hidden, row => Rms(row, place + "post_attention_layernorm.weight")), row =>
                Multiply([.. Multiply(row, place + "mlp.gate_proj.weight").Zip(Multiply(row, place + "mlp.up_proj.weight"), (gate, up) => gate / (1 + Math.Exp(-gate)) * up)], place + "mlp.down_proj.weight")));
        }

        return Multiply(Rms(hidden[^1], "model.norm.weight"), tensors.ContainsKey("lm_head.weight") ? "lm_head.weight" : "model.embed_tokens.weight");
    }

    /// <summary>Logits after the last token.</summary>
    public double[] Gpt2(int[] tokens)
    {
        var hidden = tokens.Select((token, time) => Added(Row("transformer.wte.weight", token), Row("transformer.wpe.weight", time))).ToArray();
        for (var layer = 0; layer < layerCount; layer++)
        {
            var place = $"transformer.h.{layer}.";
            var joint = Each(Each(hidden, row => LayerNorm(row, place + "ln_1")), row => Convolve(row, place + "attn.c_attn"));
            var width = hidden[0].Length;
            var mixed = Attend(Each(joint, row => row[..width]), Each(joint, row => row[width..(2 * width)]), Each(joint, row => row[(2 * width)..]));
            hidden = Sum(hidden, Each(mixed, row => Convolve(row, place + "attn.c_proj")));
            hidden = Sum(hidden, Each(Each(hidden, row => LayerNorm(row, place + "ln_2")), row => Convolve([.. Convolve(row, place + "mlp.c_fc").Select(Gelu)], place + "mlp.c_proj")));
        }

        return Multiply(LayerNorm(hidden[^1], "transformer.ln_f"), tensors.ContainsKey("lm_head.weight") ? "lm_head.weight" : "transformer.wte.weight");
    }

    private double[][] Attend(double[][] query, double[][] key, double[][] value)
    {
        var size = query[0].Length / headCount;
        var shared = headCount / keyHeadCount;
        var mixed = query.Select(row => new double[row.Length]).ToArray();
        for (var head = 0; head < headCount; head++)
        {
            var (own, others) = (head * size, head / shared * size);
            for (var time = 0; time < query.Length; time++)
            {
                var weights = Enumerable.Range(0, time + 1).Select(past => Math.Exp(Enumerable.Range(0, size).Sum(i => query[time][own + i] * key[past][others + i]) / Math.Sqrt(size))).ToArray();
                var total = weights.Sum();
                for (var past = 0; past <= time; past++)
                {
                    for (var i = 0; i < size; i++) mixed[time][own + i] += weights[past] / total * value[past][others + i];
                }
            }
        }

        return mixed;
    }

    private static double[][] Rotated(double[][] rows, int heads)
    {
        var size = rows[0].Length / heads;
        return rows.Select((row, time) =>
        {
            var rotated = new double[row.Length];
            for (var at = 0; at < row.Length; at++)
            {
                var (start, i) = (at / size * size, at % size);
                var angle = time * Math.Pow(RopeBase, -2.0 * (i % (size / 2)) / size);
                // rotate_half: the second half, negated, stands before the first.
                var turned = i < size / 2 ? -row[start + i + size / 2] : row[start + i - size / 2];
                rotated[at] = row[at] * Math.Cos(angle) + turned * Math.Sin(angle);
            }

            return rotated;
        }).ToArray();
    }

    private double[] Rms(double[] row, string gain)
    {
        var scale = 1 / Math.Sqrt(row.Sum(x => x * x) / row.Length + Epsilon);
        return [.. row.Select((x, i) => x * scale * tensors[gain].Values[i])];
    }

    private double[] LayerNorm(double[] row, string name)
    {
        var mean = row.Average();
        var scale = 1 / Math.Sqrt(row.Sum(x => (x - mean) * (x - mean)) / row.Length + Epsilon);
        return [.. row.Select((x, i) => (x - mean) * scale * tensors[name + ".weight"].Values[i] + tensors[name + ".bias"].Values[i])];
    }

    /// <summary>W [out, in] · x.</summary>
    private double[] Multiply(double[] row, string name)
    {
        var (shape, values) = tensors[name];
        Assert(shape[1] == row.Length, name);
        return [.. Enumerable.Range(0, (int)shape[0]).Select(o => Enumerable.Range(0, row.Length).Sum(i => row[i] * values[o * row.Length + i]))];
    }

    /// <summary>x · W [in, out] + b, as GPT-2's Conv1D.</summary>
    private double[] Convolve(double[] row, string name)
    {
        var (shape, values) = tensors[name + ".weight"];
        Assert(shape[0] == row.Length, name);
        return [.. Enumerable.Range(0, (int)shape[1]).Select(o => tensors[name + ".bias"].Values[o] + Enumerable.Range(0, row.Length).Sum(i => row[i] * values[i * shape[1] + o]))];
    }

    private double[] Row(string name, int index)
    {
        var width = (int)tensors[name].Shape[1];
        return [.. tensors[name].Values.Skip(index * width).Take(width).Select(x => (double)x)];
    }

    private static double Gelu(double x) => 0.5 * x * (1 + Math.Tanh(Math.Sqrt(2 / Math.PI) * (x + 0.044715 * x * x * x)));

    private static double[][] Each(double[][] rows, Func<double[], double[]> map) => [.. rows.Select(map)];

    private static double[][] Sum(double[][] left, double[][] right) => [.. left.Zip(right, Added)];

    private static double[] Added(double[] left, double[] right) => [.. left.Zip(right, (a, b) => a + b)];

    private static void Assert(bool holds, string name) => Xunit.Assert.True(holds, name);
}
