using System.Diagnostics;
using System.Net.Sockets;

namespace Pipeline.Bench.Measures.Replicas;

/// <summary>What a reduction between two processes is measured against: bare Unix sockets that carry as many bytes, both ways at once.</summary>
internal static class RawExchange
{
    /// <summary>The word that makes the child an echo of this.</summary>
    internal const string Word = "raw";

    /// <summary>Median seconds of an exchange of so many bytes each way.</summary>
    internal static double Seconds(int byteCount, int roundCount)
    {
        var folder = Directory.CreateTempSubdirectory("raw-");
        try
        {
            using var listener = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            var place = new UnixDomainSocketEndPoint(Path.Combine(folder.FullName, "s"));
            listener.Bind(place);
            listener.Listen();
            using var child = ReplicaPair.StartChild(Word, Path.Combine(folder.FullName, "s"), $"{byteCount}", $"{roundCount}");
            using var socket = Widened(listener.Accept());
            var seconds = Rounds(socket, byteCount, roundCount, () => ReplicaPair.Exchange(child.StandardInput, child.StandardOutput, "here"));
            child.StandardInput.Close();
            child.WaitForExit();
            return Distribution.Median(seconds);
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    /// <summary>What the child does.</summary>
    internal static int RunChild(string path, int byteCount, int roundCount)
    {
        using var socket = Widened(new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified));
        socket.Connect(new UnixDomainSocketEndPoint(path));
        Rounds(socket, byteCount, roundCount, () => ReplicaPair.Exchange(Console.Out, Console.In, "here"));
        return 0;
    }

    private static List<double> Rounds(Socket socket, int byteCount, int roundCount, Action together)
    {
        var (own, theirs) = (new byte[byteCount], new byte[byteCount]);
        List<double> seconds = [];
        for (var round = 0; round < roundCount + ReplicaSpec.WarmUpCount; round++)
        {
            together();
            var start = Stopwatch.GetTimestamp();
            var sending = new Thread(() =>
            {
                for (ReadOnlySpan<byte> left = own; !left.IsEmpty;) left = left[socket.Send(left)..];
            });
            sending.Start();
            for (Span<byte> left = theirs; !left.IsEmpty;)
            {
                var count = socket.Receive(left);
                left = count > 0 ? left[count..] : throw new IOException("The other end is gone.");
            }

            sending.Join();
            if (round >= ReplicaSpec.WarmUpCount) seconds.Add(Stopwatch.GetElapsedTime(start).TotalSeconds);
        }

        together();
        return seconds;
    }

    private static Socket Widened(Socket socket)
    {
        (socket.SendBufferSize, socket.ReceiveBufferSize) = (1 << 20, 1 << 20);
        return socket;
    }
}
