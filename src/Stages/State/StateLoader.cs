using Pipeline.Checkpoints;
using Pipeline.Model.Training;
using TorchSharp;
using static TorchSharp.torch;

namespace Pipeline.Stages;

/// <summary>Fills a stage from a checkpoint by the logical names of its tensors, whatever layout the checkpoint was saved in.</summary>
public static class StateLoader
{
    private const int ElementBytes = 4;

    /// <summary>Loads weights and, when the stage trains, moments.</summary>
    /// <exception cref="CheckpointException">A tensor is missing, damaged, or of another shape: the checkpoint is of another model.</exception>
    public static void Load(StageModel model, CheckpointReader checkpoint)
    {
        using var guard = no_grad();
        foreach (var tensor in model.StateToLoad()) Load(tensor, checkpoint);
        model.StateLoaded();
    }

    /// <summary>Loads those weights and moments that a checkpoint holds under another name.</summary>
    /// <param name="model">The stage.</param>
    /// <param name="checkpoint">The checkpoint.</param>
    /// <param name="name">From a tensor's own name to the other.</param>
    internal static void LoadWhereThere(StageModel model, CheckpointReader checkpoint, Func<string, string> name)
    {
        using var guard = no_grad();
        foreach (var tensor in model.StateToLoad().Select(tensor => tensor with { Name = name(tensor.Name) }).Where(tensor => checkpoint.Tensors.ContainsKey(tensor.Name))) Load(tensor, checkpoint);
        model.StateLoaded();
    }

    /// <summary>Loads weights and moments from copies that together hold all of them, whatever layout they were taken in.</summary>
    /// <exception cref="InvalidOperationException">A tensor lies in none of the copies, or has another shape.</exception>
    internal static void Load(StageModel model, IReadOnlyList<StateCopy> copies)
    {
        using var guard = no_grad();
        foreach (var tensor in model.StateToLoad())
        {
            // Where replicas share the optimizer's state out, only the owner of a parameter, who has its moments, has its unrounded weight.
            if (!copies.OrderByDescending(copy => copy.Holds(tensor.Name + ".exp_avg")).Any(copy => copy.TryLoad(tensor)))
                throw new InvalidOperationException($"The tensor '{tensor.Name}' lies in none of the copies of ranks {string.Join(", ", copies.Select(copy => copy.Id.Rank))}.");
        }

        model.StateLoaded();
    }

    private static void Load(StateTensor target, CheckpointReader checkpoint)
    {
        if (!checkpoint.Tensors.TryGetValue(target.Name, out var stored))
            throw new CheckpointException($"The checkpoint {checkpoint.Folder} holds no tensor '{target.Name}': it was saved from another model.");
        if (stored.DType != TensorTypes.F32 || !stored.Shape.SequenceEqual(target.Tensor.shape))
        {
            throw new CheckpointException($"In the checkpoint {checkpoint.Folder} the tensor '{target.Name}' is {stored.DType} [{string.Join(", ", stored.Shape)}], "
                + $"the model has F32 [{string.Join(", ", target.Tensor.shape)}]: it was saved from another model.");
        }

        using var flat = target.Tensor.view(-1);
        checkpoint.Read(target.Name, (offset, bytes) => Put(flat, offset, bytes));
    }

    private static void Put(Tensor flat, long offset, ReadOnlySpan<byte> bytes)
    {
        using var piece = flat.narrow(0, offset / ElementBytes, bytes.Length / ElementBytes);
        if (piece.device_type == DeviceType.CPU)
        {
            bytes.CopyTo(piece.bytes);
            return;
        }

        using var onHost = empty(piece.shape, ScalarType.Float32, CPU);
        bytes.CopyTo(onHost.bytes);
        piece.copy_(onHost);
    }
}
