namespace Pipeline.Bench.Measures.Wire;

/// <summary>A way for frames from one thread to another through the system: a bare socket, or a link over one.</summary>
internal interface IWireWay : IDisposable
{
    /// <summary>Sends frames of one size from the same memory and returns when the other end has got the last one.</summary>
    void Transfer(int frameBytes, int count);
}
