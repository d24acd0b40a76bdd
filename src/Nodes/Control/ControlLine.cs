namespace Pipeline.Nodes;

/// <summary>Lines of bytes on a stream, bounded in length.</summary>
internal static class ControlLine
{
    /// <summary>One line without its end; null where the stream ends before one, or the line is too long.</summary>
    internal static async Task<byte[]?> ReadAsync(Stream stream, int maximumBytes, CancellationToken cancellation)
    {
        using MemoryStream line = new();
        var buffer = new byte[4096];
        while (line.Length <= maximumBytes)
        {
            var count = await stream.ReadAsync(buffer, cancellation).ConfigureAwait(false);
            var end = buffer.AsSpan(0, count).IndexOf((byte)'\n');
            line.Write(buffer, 0, end < 0 ? count : end);
            if (end >= 0) return line.ToArray();
            if (count == 0) return null;
        }

        return null;
    }

    internal static async Task WriteAsync(Stream stream, byte[] line, CancellationToken cancellation)
    {
        await stream.WriteAsync(line, cancellation).ConfigureAwait(false);
        await stream.WriteAsync("\n"u8.ToArray(), cancellation).ConfigureAwait(false);
    }
}
