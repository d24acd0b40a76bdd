namespace Pipeline.Checkpoints;

/// <summary>How far the data was consumed when the checkpoint was taken. Samples are a pure function of the position, so this is all.</summary>
/// <param name="StepCount">Committed steps.</param>
/// <param name="SampleCount">Samples consumed by them.</param>
/// <param name="TokenCount">Tokens that the loss was computed on.</param>
public sealed record DataPosition(long StepCount, long SampleCount, long TokenCount);

/// <summary>What a run says about its state when it commits a checkpoint; what a resume compares and continues from.</summary>
public sealed record CheckpointDescription
{
    /// <summary>The run's seed.</summary>
    public required long Seed { get; init; }

    /// <summary>The model's fingerprint: every setting that decides which tensors there are and what they mean.</summary>
    public required IReadOnlyDictionary<string, string> Model { get; init; }

    /// <summary>Content hash of the tokenizer that made the tokens.</summary>
    public required string TokenizerHash { get; init; }

    /// <summary>Compute precision, such as <c>fp32</c> or <c>bf16</c>.</summary>
    public required string Precision { get; init; }

    /// <summary>Where the data stands.</summary>
    public required DataPosition DataPosition { get; init; }

    /// <summary>Anything else that a resume needs, by name.</summary>
    public IReadOnlyDictionary<string, string> Properties { get; init; } = new Dictionary<string, string>(StringComparer.Ordinal);
}

/// <summary>A file of a checkpoint.</summary>
/// <param name="Name">Plain name inside the checkpoint's folder.</param>
/// <param name="ByteCount">Its size.</param>
/// <param name="Hash">XxHash128 of the whole file.</param>
public sealed record CheckpointFile(string Name, long ByteCount, string Hash);

/// <summary>The part of a logical tensor that one file holds. Slices tile the first axis, in order.</summary>
/// <param name="File">Name of the file.</param>
/// <param name="Tensor">Name of the tensor in that file.</param>
/// <param name="Start">First index of the slice on the first axis.</param>
/// <param name="Count">Indices of the first axis that it covers; 1 for a scalar.</param>
/// <param name="Hash">XxHash128 of the slice's bytes.</param>
public sealed record TensorSlice(string File, string Tensor, long Start, long Count, string Hash);

/// <summary>A tensor of the checkpoint's content, whatever files it lies in.</summary>
/// <param name="Name">Unique in the checkpoint.</param>
/// <param name="DType">One of <see cref="TensorTypes"/>.</param>
/// <param name="Shape">The global shape.</param>
/// <param name="Slices">Where its bytes are; one slice that is the whole tensor, unless it was saved in shards.</param>
public sealed record LogicalTensor(string Name, string DType, IReadOnlyList<long> Shape, IReadOnlyList<TensorSlice> Slices)
{
    internal long ByteCountOf(long firstAxisCount) =>
        Shape.Count == 0 ? TensorTypes.ByteCount(DType, Shape) : TensorTypes.ByteCount(DType, [firstAxisCount, .. Shape.Skip(1)]);
}

/// <summary>
/// What a checkpoint is: logical tensors, and the files that contain them. A checkpoint exists when its manifest does.
/// </summary>
public sealed record CheckpointManifest
{
    /// <summary>The version that this program writes and reads.</summary>
    public const int CurrentVersion = 1;

    /// <summary>Version of the format.</summary>
    public required int Version { get; init; }

    /// <summary>Steps committed before the checkpoint was taken.</summary>
    public required long Step { get; init; }

    /// <summary>What the run said about itself.</summary>
    public required CheckpointDescription Description { get; init; }

    /// <summary>Every file but the manifest.</summary>
    public required IReadOnlyList<CheckpointFile> Files { get; init; }

    /// <summary>Every tensor, in the order in which the files were handed in.</summary>
    public required IReadOnlyList<LogicalTensor> Tensors { get; init; }

    internal static CheckpointManifest Of(long step, CheckpointDescription description, IReadOnlyList<StoredFile> files) => new()
    {
        Version = CurrentVersion,
        Step = step,
        Description = description,
        Files = [.. files.Select(file => new CheckpointFile(file.Name, file.ByteCount, file.Hash))],
        Tensors = [.. files.SelectMany(file => file.Tensors.Select(tensor => Whole(file.Name, tensor)))],
    };

    private static LogicalTensor Whole(string file, StoredTensor tensor) =>
        new(tensor.Name, tensor.DType, tensor.Shape, [new TensorSlice(file, tensor.Name, 0, tensor.Shape.Count == 0 ? 1 : tensor.Shape[0], tensor.Hash)]);
}
