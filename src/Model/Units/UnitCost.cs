namespace Pipeline.Model.Units;

/// <summary>
/// Estimated forward cost of the built-in units in multiply-adds per token. Element-wise work is counted as so many products as take
/// the same time, from timings of each unit kind on one CPU thread; what matters is the ratio between units.
/// </summary>
internal static class UnitCost
{
    // One element-wise pass over an activation takes about as long as this many multiply-adds in a large product.
    private const double PassOverElement = 10;

    internal static double Embedding(ModelSettings settings) => 6 * PassOverElement * settings.Width;

    internal static double Attention(ModelSettings settings)
    {
        double width = settings.Width;
        var products = width * (width + 2.0 * settings.KeyValueHeads * settings.HeadWidth) + width * width;
        // The causal half of two T × d products per head, at about a third of a large product's speed.
        var attention = 3.0 * settings.Context * width;
        return products + attention + 6 * PassOverElement * width;
    }

    internal static double FeedForward(ModelSettings settings)
    {
        double hidden = settings.HiddenWidth;
        var matrices = settings.Activation == ActivationKind.SwiGlu ? 3 : 2;
        return matrices * settings.Width * hidden + 3 * PassOverElement * hidden + 4 * PassOverElement * settings.Width;
    }

    internal static double Head(ModelSettings settings, long tokens) => (double)tokens * settings.Width + 2 * PassOverElement * tokens;
}
