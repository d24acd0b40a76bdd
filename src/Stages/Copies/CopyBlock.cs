using System.Runtime.InteropServices;
using System.Security.Cryptography;
using Pipeline.Protocol;

namespace Pipeline.Stages;

/// <summary>Memory of one copy, owned by the copy, and between two copies by a <see cref="CopyMemory"/>. At least 64-byte aligned.</summary>
internal abstract unsafe class CopyBlock(nint start, long byteCount)
{
    /// <summary>Where it begins.</summary>
    internal byte* Start { get; } = (byte*)start;

    /// <summary>Its size.</summary>
    internal long ByteCount { get; } = byteCount;

    /// <summary>Whether another copy may be put there once all have let go of this one.</summary>
    internal virtual bool IsReusable => true;

    /// <summary>Gives it back to the system.</summary>
    internal abstract void Free();
}

/// <summary>Memory of this process alone.</summary>
internal sealed unsafe class PrivateBlock : CopyBlock
{
    private const int Alignment = 64;

    private PrivateBlock(nint start, long byteCount)
        : base(start, byteCount)
    {
    }

    internal static PrivateBlock Allocate(long byteCount) => new((nint)NativeMemory.AlignedAlloc((nuint)Math.Max(byteCount, 1), Alignment), byteCount);

    /// <inheritdoc/>
    internal override void Free() => NativeMemory.AlignedFree(Start);
}

/// <summary>
/// Memory that another process of this machine may map: a copy that lies in it is there as soon as that process hears of it, without a byte being sent. It is written only
/// while nobody else may have it mapped, which <see cref="CopyLoans"/> sees to.
/// </summary>
internal sealed class LendableBlock : CopyBlock
{
    private readonly int _descriptor;
    private readonly string _name;
    private long _use;
    private volatile bool _isGivenAway;

    private LendableBlock(int descriptor, string name, nint start, long byteCount)
        : base(start, byteCount) => (_descriptor, _name) = (descriptor, name);

    /// <summary>What lies in it at the moment, as others may ask for it.</summary>
    internal LentMemory Lent => new(Environment.ProcessId, _descriptor, _name, _use);

    /// <inheritdoc/>
    internal override bool IsReusable => !_isGivenAway;

    /// <summary>Makes one; null where the system does not have such memory.</summary>
    internal static LendableBlock? TryAllocate(long byteCount)
    {
        if (byteCount == 0 || !MemoryFile.IsSupported) return null;
        var name = LentMemory.Prefix + RandomNumberGenerator.GetHexString(32, lowercase: true);
        return MemoryFile.Create(name, byteCount) is var (descriptor, start) ? new LendableBlock(descriptor, name, start, byteCount) : null;
    }

    /// <summary>Another copy is put there: who hears of the former one only now shall not take this one for it.</summary>
    internal void UseAgain() => _use++;

    /// <summary>Whoever has it mapped may keep it: nothing else is ever put there.</summary>
    internal void GiveAway() => _isGivenAway = true;

    /// <inheritdoc/>
    internal override unsafe void Free()
    {
        MemoryFile.Unmap((nint)Start, ByteCount);
        MemoryFile.Close(_descriptor);
    }
}

/// <summary>Memory of another process, mapped for reading. What lies in it stays when that process is killed.</summary>
internal sealed unsafe class BorrowedBlock(nint start, long byteCount, Action freed) : CopyBlock(start, byteCount)
{
    /// <inheritdoc/>
    internal override bool IsReusable => false;

    /// <inheritdoc/>
    internal override void Free()
    {
        MemoryFile.Unmap((nint)Start, ByteCount);
        freed();
    }
}
