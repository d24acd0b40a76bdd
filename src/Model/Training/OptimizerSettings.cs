namespace Pipeline.Model.Training;

/// <summary>AdamW (Loshchilov and Hutter 2019) with warm-up, cosine decay and clipping by the global norm.</summary>
public sealed record OptimizerSettings
{
    /// <summary>Peak learning rate.</summary>
    public required double LearningRate { get; init; }

    /// <summary>The cosine ends at this share of the peak.</summary>
    public double MinimumLearningRateRatio { get; init; } = 0.1;

    /// <summary>Steps of linear warm-up.</summary>
    public required int Warmup { get; init; }

    /// <summary>Steps from the first to the end of the cosine.</summary>
    public required int Horizon { get; init; }

    /// <summary>Largest global gradient norm; 0 switches clipping off.</summary>
    public double Clip { get; init; } = 1;

    /// <summary>Decoupled decay, on matrices only.</summary>
    public double WeightDecay { get; init; } = 0.1;

    /// <summary>Decay of the first moment.</summary>
    public double Beta1 { get; init; } = 0.9;

    /// <summary>Decay of the second moment.</summary>
    public double Beta2 { get; init; } = 0.95;

    /// <summary>Added to the root of the second moment.</summary>
    public double Epsilon { get; init; } = 1e-8;

    /// <summary>
    /// The last step whose gradients the second moments follow, as in 1-bit Adam (Tang et al. 2021); null where they always do. What follows is
    /// linear in the gradients, so that what compression has put off counts in full when it comes.
    /// </summary>
    public long? FrozenAfter { get; init; }

    /// <summary>What was changed while the run was under way, in the order of the steps.</summary>
    public IReadOnlyList<OptimizerChange> Changes { get; init; } = [];

    /// <summary>The settings of a step: those of the beginning, with what was changed through that step.</summary>
    public OptimizerSettings At(long step)
    {
        if (Changes.Count == 0) return this;
        var settings = this with { Changes = [] };
        foreach (var change in Changes.TakeWhile(change => change.FromStep <= step))
            settings = settings with { LearningRate = change.LearningRate ?? settings.LearningRate, Clip = change.Clip ?? settings.Clip };
        return settings;
    }

    /// <summary>Learning rate of a step, counted from 1: linear to the peak over the warm-up, then half a cosine, then flat.</summary>
    public double LearningRateAt(long step)
    {
        if (step <= Warmup) return LearningRate * step / Warmup;
        if (step >= Horizon) return LearningRate * MinimumLearningRateRatio;
        var progress = (double)(step - Warmup) / (Horizon - Warmup);
        var cosine = 0.5 * (1 + Math.Cos(Math.PI * progress));
        return LearningRate * (MinimumLearningRateRatio + (1 - MinimumLearningRateRatio) * cosine);
    }

    /// <summary>Factor on the summed gradient: 1 ÷ tokens, and less when the mean gradient's norm exceeds <see cref="Clip"/>.</summary>
    /// <param name="meanNorm">Global norm of the gradient divided by the token count.</param>
    /// <param name="tokenCount">Tokens of the step.</param>
    public double GradientFactor(double meanNorm, long tokenCount)
    {
        var factor = UnclippedFactor(tokenCount);
        return Clips(meanNorm) ? factor * (Clip / meanNorm) : factor;
    }

    /// <summary>Factor on the summed gradient of a step that is not clipped.</summary>
    public double UnclippedFactor(long tokenCount) => 1.0 / tokenCount;

    /// <summary>Whether a mean gradient of that norm is scaled down.</summary>
    public bool Clips(double meanNorm) => Clip > 0 && meanNorm > Clip;
}

/// <summary>Settings that have other values from a step on.</summary>
/// <param name="FromStep">The first step that they hold for.</param>
/// <param name="LearningRate">Peak learning rate; null where it stays.</param>
/// <param name="Clip">Largest norm; null where it stays.</param>
public sealed record OptimizerChange(long FromStep, double? LearningRate, double? Clip);
