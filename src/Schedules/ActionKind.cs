using System.Diagnostics;

namespace Pipeline.Schedules;

/// <summary>
/// What a stage does in one action. The first five kinds work on one micro-batch; the others end the step and work on the
/// whole stage, once.
/// </summary>
public enum ActionKind : byte
{
    /// <summary>Letter F: the forward pass of one micro-batch.</summary>
    Forward,

    /// <summary>Letter B: the full backward pass, input gradient and weight gradient together.</summary>
    Backward,

    /// <summary>Letter I: the half of the backward pass that yields the gradient of the stage's input.</summary>
    InputGradient,

    /// <summary>Letter W: the half of the backward pass that yields the gradients of the stage's parameters.</summary>
    WeightGradient,

    /// <summary>Letter R: the forward pass again, to restore activations that were not kept.</summary>
    Recompute,

    /// <summary>Letter S: the sums of gradients that this replica completes are added up over the replicas and sent on.</summary>
    ReduceScatter,

    /// <summary>Letter G: the sums that other replicas have completed are taken, so that all hold the same gradients.</summary>
    AllGather,

    /// <summary>Letter T: the gradients of a parameter that several stages hold (tied embeddings) are exchanged and added.</summary>
    TiedSum,

    /// <summary>Letter N: the stage's share of the global gradient norm.</summary>
    Norm,

    /// <summary>Letter O: clip by the global norm and update the stage's weights.</summary>
    Optimizer,

    /// <summary>Letter A: the weights that other replicas have updated are taken, where each updates a share, or all bring theirs together.</summary>
    WeightGather,
}

/// <summary>
/// The letters of the kinds, and what a kind implies. F, B, I and W are the letters that the field's schedule files use;
/// R, S, G, T, N, O and A are ours and clash with none of them, nor with the words SEND, RECV, UNSHARD, RESHARD and OVERLAP_F_B,
/// since a kind is exactly one letter.
/// </summary>
public static class ActionKinds
{
    private const string Letters = "FBIWRSGTNOA";

    /// <summary>The number of kinds; arrays indexed by kind have this length.</summary>
    public const int Count = 11;

    /// <summary>The letter that stands for the kind in the text form of an action.</summary>
    public static char Letter(this ActionKind kind) => Letters[(int)kind];

    /// <summary>True where <paramref name="letter"/> stands for a kind; letters are upper case only.</summary>
    public static bool TryFromLetter(char letter, out ActionKind kind)
    {
        var index = Letters.IndexOf(letter, StringComparison.Ordinal);
        kind = index < 0 ? default : (ActionKind)index;
        return index >= 0;
    }

    /// <summary>True for S, G, T, N, O and A: once a step and stage, without a micro-batch.</summary>
    public static bool IsStepLevel(this ActionKind kind) => kind >= ActionKind.ReduceScatter;

    /// <summary>True for B and W, which finish a leaf: one micro-batch's gradient of the stage's parameters.</summary>
    public static bool MakesLeaf(this ActionKind kind) => kind is ActionKind.Backward or ActionKind.WeightGradient;

    /// <summary>True for B and I, which need the gradient of the stage's output and yield that of its input.</summary>
    public static bool MakesInputGradient(this ActionKind kind) => kind is ActionKind.Backward or ActionKind.InputGradient;

    /// <summary>The term of the field, for messages.</summary>
    public static string Term(this ActionKind kind) => kind switch
    {
        ActionKind.Forward => "forward",
        ActionKind.Backward => "backward",
        ActionKind.InputGradient => "input-gradient half",
        ActionKind.WeightGradient => "weight-gradient half",
        ActionKind.Recompute => "recompute",
        ActionKind.ReduceScatter => "reduce-scatter",
        ActionKind.AllGather => "all-gather",
        ActionKind.TiedSum => "tied sum",
        ActionKind.Norm => "norm",
        ActionKind.Optimizer => "optimizer",
        ActionKind.WeightGather => "weight gather",
        _ => throw new UnreachableException($"kind {(int)kind}"),
    };
}
