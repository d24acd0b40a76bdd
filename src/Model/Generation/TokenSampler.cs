using Pipeline.Model.Numerics;

namespace Pipeline.Model.Generation;

/// <summary>Draws a token from logits: temperature, then top-k, then top-p, ties broken by the smaller token.</summary>
public static class TokenSampler
{
    /// <summary>The token at place <paramref name="place"/> of a text.</summary>
    /// <param name="logits">[V], finite.</param>
    /// <param name="settings">How to draw.</param>
    /// <param name="place">Number of the generated token, from 0: keys the draw.</param>
    public static int Draw(ReadOnlySpan<float> logits, SamplingSettings settings, int place)
    {
        var order = Enumerable.Range(0, logits.Length).ToArray();
        var scores = logits.ToArray();
        Array.Sort(order, (left, right) => scores[right].CompareTo(scores[left]) is var way and not 0 ? way : left.CompareTo(right));
        if (settings.Temperature == 0) return order[0];
        var count = settings.TopK > 0 ? Math.Min(settings.TopK, order.Length) : order.Length;
        var weights = new double[count];
        for (var rank = 0; rank < count; rank++) weights[rank] = Math.Exp((scores[order[rank]] - scores[order[0]]) / settings.Temperature);
        count = Nucleus(weights, settings.TopP);
        var target = Philox.Open(Philox.Draw(Philox.Key(settings.Seed, "sample"), (uint)place, 0, 0).A) * weights.AsSpan(0, count).ToArray().Sum();
        for (var rank = 0; rank < count - 1; rank++)
        {
            target -= weights[rank];
            if (target <= 0) return order[rank];
        }

        return order[count - 1];
    }

    private static int Nucleus(double[] weights, double share)
    {
        var wanted = share * weights.Sum();
        double held = 0;
        for (var rank = 0; rank < weights.Length; rank++)
        {
            held += weights[rank];
            if (held >= wanted) return rank + 1;
        }

        return weights.Length;
    }
}
