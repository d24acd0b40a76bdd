using System.ComponentModel;
using System.Net.Sockets;
using System.Runtime.InteropServices;

namespace Pipeline.Protocol.Links;

/// <summary>
/// Two pieces of memory in one system call, which .NET's sockets offer for arrays only: a frame's header goes out with its block, and the
/// next header comes in with the end of this block. At 64 KiB a frame that is a third of the calls. For blocking sockets of Unix systems.
/// </summary>
internal static partial class VectoredIo
{
    private const int Interrupted = 4;
    private const int TryAgain = 11;
    private const int TryAgainOnApple = 35;

    /// <summary>Whether the system has it.</summary>
    internal static bool IsSupported { get; } = !OperatingSystem.IsWindows();

    /// <summary>Sends from both; may send less than all.</summary>
    internal static unsafe int Send(Socket socket, ReadOnlySpan<byte> first, ReadOnlySpan<byte> second)
    {
        fixed (byte* one = first, two = second)
        {
            var pieces = stackalloc Piece[2] { new(one, first.Length), new(two, second.Length) };
            while (true)
            {
                var count = writev(socket.SafeHandle, pieces, 2);
                if (count >= 0) return (int)count;
                ThrowUnlessInterrupted();
            }
        }
    }

    /// <summary>Receives into both; 0 when the other end closed.</summary>
    internal static unsafe int Receive(Socket socket, Span<byte> first, Span<byte> second)
    {
        fixed (byte* one = first, two = second)
        {
            var pieces = stackalloc Piece[2] { new(one, first.Length), new(two, second.Length) };
            while (true)
            {
                var count = readv(socket.SafeHandle, pieces, 2);
                if (count >= 0) return (int)count;
                ThrowUnlessInterrupted();
            }
        }
    }

    private static void ThrowUnlessInterrupted()
    {
        var error = Marshal.GetLastPInvokeError();
        if (error == Interrupted) return;
        var meaning = error is TryAgain or TryAgainOnApple ? SocketError.TimedOut : SocketError.ConnectionReset;
        throw new IOException(new Win32Exception(error).Message, new SocketException((int)meaning));
    }

    [LibraryImport("libc", SetLastError = true)]
    private static unsafe partial nint writev(SafeHandle socket, Piece* pieces, int count);

    [LibraryImport("libc", SetLastError = true)]
    private static unsafe partial nint readv(SafeHandle socket, Piece* pieces, int count);

    [StructLayout(LayoutKind.Sequential)]
    private readonly unsafe struct Piece(byte* start, int length)
    {
        private readonly byte* _start = start;
        private readonly nint _length = length;
    }
}
