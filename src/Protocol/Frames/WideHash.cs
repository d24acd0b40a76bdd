using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Pipeline.Protocol.Frames;

/// <summary>
/// XXH3 of 64 bits with a seed (Yann Collet's specification, "long" inputs) over a block that lies in one piece and fills from its beginning: the value of <see cref="System.IO.Hashing.XxHash3"/>,
/// with its eight sums in one register. For one block after the other, on one thread at a time.
/// </summary>
internal sealed class WideHash
{
    /// <summary>Bytes of the shortest block.</summary>
    internal const int ShortestLength = 241;

    private const int StripeLength = 64;
    private const int StripesOfRound = 16;
    private const int SecretStep = sizeof(ulong);
    private const int SecretLength = 192;
    private const int ScrambleAt = SecretLength - StripeLength;
    private const int LastStripeAt = SecretLength - StripeLength - 7;
    private const int MergeAt = 11;
    private const ulong FactorA = 0x9E3779B185EBCA87, FactorB = 0xC2B2AE3D27D4EB4F, FactorC = 0x165667B19E3779F9, FactorD = 0x85EBCA77C2B2AE63, FactorE = 0x27D4EB2F165667C5;
    private const ulong NarrowA = 0x9E3779B1, NarrowB = 0x85EBCA77, NarrowC = 0xC2B2AE3D;

    // The specification's secret, to which the seed is added.
    private static readonly ulong[] s_secret =
    [
        0xBE4BA423396CFEB8, 0x1CAD21F72C81017C, 0xDB979083E96DD4DE, 0x1F67B3B7A4A44072, 0x78E5C0CC4EE679CB, 0x2172FFCC7DD05A82, 0x8E2443F7744608B8, 0x4C263A81E69035E0,
        0xCB00C391BB52283C, 0xA32E531B8B65D088, 0x4EF90DA297486471, 0xD8ACDEA946EF1938, 0x3F349CE33F76FAA8, 0x1D4F0BC7C7BBDCF9, 0x3159B4CD4BE0518A, 0x647378D9C97E9FC8,
        0xC3EBD33483ACC5EA, 0xEB6313FAFFA081C5, 0x49DAF0B751DD0D17, 0x9E68D429265516D3, 0xFCA1477D58BE162B, 0xCE31D07AD1B8F88F, 0x280416958F3ACB45, 0x7E404BBBCAFBD7AF,
    ];

    private readonly ulong[] _secret = new ulong[SecretLength / sizeof(ulong)];
    private Vector512<ulong> _sums;
    private ulong _length;
    private nuint _stripe;
    private nuint _stripeCount;

    /// <summary>Whether it is faster here than what the library has.</summary>
    internal static bool PaysFor(long length) => Avx512F.IsSupported && Vector512.IsHardwareAccelerated && length >= ShortestLength;

    private ref byte Secret => ref Unsafe.As<ulong, byte>(ref MemoryMarshal.GetArrayDataReference(_secret));

    /// <summary>A block begins.</summary>
    /// <param name="seed">The seed.</param>
    /// <param name="length">Bytes of the whole block.</param>
    internal void Begin(long seed, long length)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(length, ShortestLength);
        for (var index = 0; index < _secret.Length; index += 2) (_secret[index], _secret[index + 1]) = (unchecked(s_secret[index] + (ulong)seed), unchecked(s_secret[index + 1] - (ulong)seed));
        _sums = Vector512.Create(NarrowC, FactorA, FactorB, FactorC, FactorD, NarrowB, FactorE, NarrowA);
        // The last bytes, at least one of them, belong to the last stripe alone.
        (_length, _stripe, _stripeCount) = ((ulong)length, 0, (nuint)((length - 1) / StripeLength));
    }

    /// <summary>Takes what of a block is there.</summary>
    /// <param name="filled">The block from its beginning; never less than the time before.</param>
    // Compiled for good at once: a process hashes a whole first step otherwise as slowly as code is compiled first.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    internal void Advance(ReadOnlySpan<byte> filled)
    {
        var end = Math.Min((nuint)filled.Length / StripeLength, _stripeCount);
        ref var block = ref MemoryMarshal.GetReference(filled);
        ref var secret = ref Secret;
        var (sums, stripe) = (_sums, _stripe);
        while (stripe < end)
        {
            var place = stripe % StripesOfRound;
            var count = Math.Min(StripesOfRound - place, end - stripe);
            for (nuint index = 0; index < count; index++)
                sums = Added(sums, ref Unsafe.Add(ref block, (stripe + index) * StripeLength), ref Unsafe.Add(ref secret, (place + index) * SecretStep));
            stripe += count;
            if (place + count == StripesOfRound) sums = Scrambled(sums, ref secret);
        }

        (_sums, _stripe) = (sums, stripe);
    }

    /// <summary>The hash of a block.</summary>
    /// <param name="block">All of it.</param>
    internal ulong Finish(ReadOnlySpan<byte> block)
    {
        Advance(block);
        var sums = Added(_sums, ref Unsafe.Add(ref MemoryMarshal.GetReference(block), block.Length - StripeLength), ref Unsafe.Add(ref Secret, LastStripeAt));
        var secret = MemoryMarshal.AsBytes(_secret.AsSpan())[MergeAt..];
        var hash = unchecked(_length * FactorA);
        for (var index = 0; index < Vector512<ulong>.Count; index += 2)
        {
            var (left, right) = (sums[index] ^ Word(secret, index), sums[index + 1] ^ Word(secret, index + 1));
            var high = Math.BigMul(left, right, out var low);
            hash = unchecked(hash + (low ^ high));
        }

        hash = unchecked((hash ^ (hash >> 37)) * 0x165667919E3779F9);
        return hash ^ (hash >> 32);
    }

    private static ulong Word(ReadOnlySpan<byte> bytes, int index) => BinaryPrimitives.ReadUInt64LittleEndian(bytes[(index * sizeof(ulong))..]);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<ulong> Added(Vector512<ulong> sums, ref byte stripe, ref byte secret)
    {
        var data = Vector512.LoadUnsafe(ref stripe).AsUInt64();
        var mixed = data ^ Vector512.LoadUnsafe(ref secret).AsUInt64();
        var high = Vector512.ShiftRightLogical(mixed, 32);
        return Avx512F.IsSupported
            ? sums + Avx512F.Multiply(mixed.AsUInt32(), high.AsUInt32()) + Avx512F.Shuffle(data.AsUInt32(), 0b01_00_11_10).AsUInt64()
            : sums + ((mixed & Vector512.Create((ulong)uint.MaxValue)) * high) + Vector512.Shuffle(data, Vector512.Create(1UL, 0, 3, 2, 5, 4, 7, 6));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<ulong> Scrambled(Vector512<ulong> sums, ref byte secret) =>
        (sums ^ Vector512.ShiftRightLogical(sums, 47) ^ Vector512.LoadUnsafe(ref Unsafe.Add(ref secret, ScrambleAt)).AsUInt64()) * Vector512.Create(NarrowA);
}
