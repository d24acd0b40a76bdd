namespace Pipeline.Protocol.Frames;

/// <summary>What a tensor frame carries, and which way.</summary>
public enum FrameKind
{
    /// <summary>Output of a stage in training, to the next one.</summary>
    Activation = 0,

    /// <summary>Gradient of a stage's input, to the former one.</summary>
    Gradient = 1,

    /// <summary>Gradient of a tied parameter, from its owner to the other use. The edge is the number of the tie.</summary>
    TiedGradientFromOwner = 2,

    /// <summary>Gradient of a tied parameter, from the other use to its owner. The edge is the number of the tie.</summary>
    TiedGradientToOwner = 3,

    /// <summary>Output of a stage in an evaluation, to the next one.</summary>
    EvaluationActivation = 4,

    /// <summary>Part of a copy of a rank's state. The edge is the rank, the micro-batch the part, the slice the inlet that the receiver has named.</summary>
    StateCopy = 5,

    /// <summary>
    /// Sums of gradients on their way to where they are completed. The edge is the bucket, the micro-batch the replica that sends, the slice
    /// the shard.
    /// </summary>
    GradientContribution = 6,

    /// <summary>A completed sum of gradients on its way back. Edge, micro-batch and slice as for a contribution.</summary>
    ReducedGradient = 7,

    /// <summary>Weights that one replica has updated for all. The edge is the unit, the micro-batch the replica that sends.</summary>
    UpdatedWeights = 8,
}

/// <summary>
/// Which tensor a frame is. Frames pair with the actions that need them by this key alone, so no order of arrival can mis-pair them.
/// </summary>
/// <param name="Step">Run, generation, attempt and step.</param>
/// <param name="Edge">Edge e joins stage e with stage e + 1; for tied gradients the number of the tie.</param>
/// <param name="MicroBatch">Micro-batch of the step, from 0; 0 for tied gradients.</param>
/// <param name="Slice">Part of the micro-batch, from 0; 0 while micro-batches travel whole.</param>
/// <param name="Kind">What it carries.</param>
public readonly record struct FrameKey(StepKey Step, int Edge, int MicroBatch, int Slice, FrameKind Kind)
{
    /// <summary>The same tensor, said in another assignment.</summary>
    public FrameKey In(Generation generation) => this with { Step = Step.In(generation) };
}
