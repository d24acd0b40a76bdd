namespace Pipeline.Checkpoints;

/// <summary>Copies bytes of one tensor, row-major and little-endian, from <paramref name="offset"/> on, filling <paramref name="destination"/>.</summary>
/// <param name="offset">First byte, counted from the beginning of the tensor; 64 bits, so that tensors over 2 GiB work.</param>
/// <param name="destination">Filled completely; never reaches past the tensor's end.</param>
public delegate void CopyBytes(long offset, Span<byte> destination);

/// <summary>Takes bytes of one tensor, in order of their offsets; the span is valid during the call only.</summary>
public delegate void ReceiveBytes(long offset, ReadOnlySpan<byte> bytes);

/// <summary>
/// A tensor to be written: what it is called, what it looks like, and where its bytes come from.
/// It is pulled in chunks, on the thread that writes, and never held whole by the writer. The source keeps owning the memory behind it.
/// </summary>
/// <param name="Name">Unique within the checkpoint.</param>
/// <param name="DType">One of <see cref="TensorTypes"/>.</param>
/// <param name="Shape">Sizes of the dimensions; empty for a scalar.</param>
/// <param name="CopyTo">Where the bytes come from.</param>
public sealed record TensorSource(string Name, string DType, IReadOnlyList<long> Shape, CopyBytes CopyTo)
{
    /// <summary>Bytes of the whole tensor.</summary>
    public long ByteCount => TensorTypes.ByteCount(DType, Shape);
}

/// <summary>A tensor as it lies in a file that was written.</summary>
/// <param name="Name">Name in the file.</param>
/// <param name="DType">One of <see cref="TensorTypes"/>.</param>
/// <param name="Shape">Sizes of the dimensions.</param>
/// <param name="Hash">XxHash128 of its bytes, 32 lower-case hexadecimal digits.</param>
public sealed record StoredTensor(string Name, string DType, IReadOnlyList<long> Shape, string Hash);

/// <summary>A file that lies in a save attempt, written and flushed, and waits for its manifest.</summary>
/// <param name="Name">Plain file name.</param>
/// <param name="ByteCount">Its size.</param>
/// <param name="Hash">XxHash128 of the whole file. It detects damage; it does not authenticate.</param>
/// <param name="Tensors">What it holds, in the order of the file; empty for a text file.</param>
public sealed record StoredFile(string Name, long ByteCount, string Hash, IReadOnlyList<StoredTensor> Tensors);
