namespace Pipeline.Checkpoints.Export;

/// <summary>Tensors of a checkpoint in the form in which another library wants them. Nothing is read before it is written.</summary>
/// <param name="reader">The open checkpoint; must outlive the views.</param>
internal sealed class TensorViews(CheckpointReader reader)
{
    /// <summary>A tensor as it is, under another name.</summary>
    internal TensorSource Whole(string name, string stored)
    {
        var tensor = Stored(stored);
        return new(name, tensor.DType, tensor.Shape, (offset, destination) => reader.ReadInto(stored, offset, destination));
    }

    /// <summary>The head's matrix, whose rows may lie in several units.</summary>
    internal TensorSource Head(ExportModel model) => model.HeadSlices == 1
        ? Whole("lm_head.weight", "head.output.weight")
        : Stacked("lm_head.weight", [.. Enumerable.Range(0, model.HeadSlices).Select(slice => $"head.{slice}.output.weight")]);

    /// <summary>The rows of several matrices, one below the other.</summary>
    internal TensorSource Stacked(string name, IReadOnlyList<string> stored)
    {
        var parts = stored.Select(Stored).ToArray();
        return new(name, parts[0].DType, [parts.Sum(part => part.Shape[0]), .. parts[0].Shape.Skip(1)], Read);

        void Read(long offset, Span<byte> destination)
        {
            foreach (var part in stored)
            {
                var length = reader.ByteCount(part);
                if (offset < length && destination.Length > 0)
                {
                    var count = (int)Math.Min(length - offset, destination.Length);
                    reader.ReadInto(part, offset, destination[..count]);
                    destination = destination[count..];
                    offset += count;
                }

                offset -= length;
            }
        }
    }

    /// <summary>Consecutive rows of a matrix, or elements of a vector.</summary>
    internal TensorSource Rows(string name, string stored, long from, long count)
    {
        var tensor = Stored(stored);
        var start = TensorTypes.ByteCount(tensor.DType, [from, .. tensor.Shape.Skip(1)]);
        return new(name, tensor.DType, [count, .. tensor.Shape.Skip(1)], (offset, destination) => reader.ReadInto(stored, start + offset, destination));
    }

    /// <summary>A matrix [out, in] as [in, out]; it is held in memory while it is written.</summary>
    /// <exception cref="CheckpointException">It is no matrix, or too large to be held.</exception>
    internal TensorSource Transposed(string name, string stored)
    {
        var tensor = Stored(stored);
        if (tensor.Shape.Count != 2 || reader.ByteCount(stored) > Array.MaxLength)
            throw new CheckpointException($"The tensor '{stored}' of {reader.ByteCount(stored)} bytes cannot be transposed: expected a matrix of at most {Array.MaxLength} bytes.");
        Lazy<byte[]> turned = new(() => Turn(stored, (int)tensor.Shape[0], (int)tensor.Shape[1], TensorTypes.ElementByteCount(tensor.DType)));
        return new(name, tensor.DType, [tensor.Shape[1], tensor.Shape[0]], (offset, destination) => turned.Value.AsSpan((int)offset, destination.Length).CopyTo(destination));
    }

    /// <summary>Zeros of the type of another tensor.</summary>
    internal TensorSource Zeros(string name, string like, params long[] shape) => new(name, Stored(like).DType, shape, (_, destination) => destination.Clear());

    private byte[] Turn(string stored, int rows, int columns, int elementBytes)
    {
        var bytes = new byte[(long)rows * columns * elementBytes];
        reader.ReadInto(stored, 0, bytes);
        var turned = new byte[bytes.Length];
        for (var row = 0; row < rows; row++)
        {
            for (var column = 0; column < columns; column++)
                bytes.AsSpan((row * columns + column) * elementBytes, elementBytes).CopyTo(turned.AsSpan((column * rows + row) * elementBytes));
        }

        return turned;
    }

    private LogicalTensor Stored(string name) => reader.Tensors.TryGetValue(name, out var tensor)
        ? tensor
        : throw new CheckpointException($"The checkpoint {reader.Folder} lacks the tensor '{name}', which the run's configuration asks for.");
}
