namespace Pipeline.Protocol.Frames;

/// <summary>Bytes that claim to be a tensor frame are not a valid one: too long, cut off, altered, or lying about what they hold.</summary>
public sealed class FrameException : Exception
{
    /// <summary>A frame refused for a reason.</summary>
    public FrameException(string message) : base(message)
    {
    }

    /// <summary>A frame refused because its encoding is broken.</summary>
    public FrameException(string message, Exception cause) : base(message, cause)
    {
    }
}

/// <summary>A frame is larger than the limits allow; told to the sender before anything goes out.</summary>
public sealed class FrameTooLargeException(string message) : ArgumentException(message);
