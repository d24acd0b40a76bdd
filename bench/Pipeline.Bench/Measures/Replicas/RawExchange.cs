using System.Globalization;
using System.Net;
using System.Net.Sockets;
using static TorchSharp.torch;

namespace Pipeline.Bench.Measures.Replicas;

/// <summary>
/// What a reduction between two processes is measured against: bare sockets that carry as many bytes, both ways at once, from and to memory as gradients have it. Memory that nobody has
/// written would be read from a cache: all its pages are one.
/// </summary>
internal static class RawExchange
{
    /// <summary>The word that makes the child an echo of this.</summary>
    internal const string Word = "raw";

    /// <summary>An exchange of so many bytes each way: the median of what it takes, the mean of the processor time in this process.</summary>
    internal static Elapsed Measure(int byteCount, int roundCount, bool isTcp)
    {
        var folder = Directory.CreateTempSubdirectory("raw-");
        try
        {
            using var listener = NewSocket(isTcp);
            listener.Bind(isTcp ? new IPEndPoint(IPAddress.Loopback, 0) : new UnixDomainSocketEndPoint(Path.Combine(folder.FullName, "s")));
            listener.Listen();
            var place = isTcp ? $"{((IPEndPoint)listener.LocalEndPoint!).Port}" : Path.Combine(folder.FullName, "s");
            using var child = ReplicaPair.StartChild(Word, place, $"{byteCount}", $"{roundCount}");
            using var socket = Prepared(listener.Accept());
            var rounds = Rounds(socket, byteCount, roundCount, () => ReplicaPair.Exchange(child.StandardInput, child.StandardOutput, "here"));
            child.StandardInput.Close();
            child.WaitForExit();
            return new Elapsed(Distribution.Median(rounds.Select(round => round.WallSeconds)), rounds.Average(round => round.CpuSeconds));
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    /// <summary>What the child does.</summary>
    /// <param name="place">Path of a Unix socket, or a port of loopback.</param>
    /// <param name="byteCount">Bytes each way.</param>
    /// <param name="roundCount">Rounds that are counted.</param>
    internal static int RunChild(string place, int byteCount, int roundCount)
    {
        var isTcp = int.TryParse(place, NumberStyles.None, CultureInfo.InvariantCulture, out var port);
        using var socket = Prepared(NewSocket(isTcp));
        socket.Connect(isTcp ? new IPEndPoint(IPAddress.Loopback, port) : new UnixDomainSocketEndPoint(place));
        Rounds(socket, byteCount, roundCount, () => ReplicaPair.Exchange(Console.Out, Console.In, "here"));
        return 0;
    }

    private static List<Elapsed> Rounds(Socket socket, int byteCount, int roundCount, Action together)
    {
        using var own = empty(byteCount, ScalarType.Byte, CPU);
        using var theirs = empty(byteCount, ScalarType.Byte, CPU);
        new Random(1).NextBytes(own.bytes);
        List<Elapsed> rounds = [];
        for (var round = 0; round < roundCount + ReplicaSpec.LongWarmUp; round++)
        {
            together();
            var elapsed = Elapsed.Of(() => Exchange(socket, own, theirs));
            if (round >= ReplicaSpec.LongWarmUp) rounds.Add(elapsed);
        }

        together();
        return rounds;
    }

    private static void Exchange(Socket socket, Tensor own, Tensor theirs)
    {
        var sending = new Thread(() =>
        {
            for (ReadOnlySpan<byte> left = own.bytes; !left.IsEmpty;) left = left[socket.Send(left)..];
        });
        sending.Start();
        for (var left = theirs.bytes; !left.IsEmpty;)
        {
            var count = socket.Receive(left);
            left = count > 0 ? left[count..] : throw new IOException("The other end is gone.");
        }

        sending.Join();
    }

    private static Socket NewSocket(bool isTcp) => isTcp
        ? new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp)
        : new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);

    /// <summary>As links prepare theirs.</summary>
    private static Socket Prepared(Socket socket)
    {
        if (socket.AddressFamily == AddressFamily.Unix) (socket.SendBufferSize, socket.ReceiveBufferSize) = (1 << 20, 1 << 20);
        else socket.NoDelay = true;
        return socket;
    }
}
