using System.Collections.Concurrent;
using System.Diagnostics;
using Akka.Actor;
using Pipeline.Bench.Reports;
using Pipeline.Protocol.Links;
using Pipeline.Protocol.Wire;

namespace Pipeline.Bench.Measures.Wire;

/// <summary>Whether bulk disturbs control: round trips of a small message over Akka.Remote, alone and beside frames at a steady rate.</summary>
internal static class ControlLatency
{
    private const int FrameBytes = 4 << 20;
    private const double AllowedMilliseconds = 25;
    private const double AllowedFactor = 3;
    private static readonly TimeSpan FrameEvery = TimeSpan.FromMilliseconds(50);
    private static readonly TimeSpan PingEvery = TimeSpan.FromMilliseconds(5);

    /// <summary>Measures beside each kind of link.</summary>
    public static BenchReport Measure(BenchOptions options)
    {
        var duration = TimeSpan.FromSeconds(options.IsQuick ? 1 : 8);
        using var pinging = new Pinging();
        pinging.RoundTrips(TimeSpan.FromSeconds(1));
        var idle = pinging.RoundTrips(duration);
        List<IReadOnlyList<string>> rows = [Row("none", 0, idle, null)];
        var allowed = Math.Max(AllowedMilliseconds, AllowedFactor * Distribution.Quantile(idle, 0.99));
        foreach (var kind in new[] { LinkKindChoice.Unix, LinkKindChoice.Tcp, LinkKindChoice.Akka })
        {
            using var way = new LinkWay(kind, hasChecksums: true, null, new WireMemory(FrameBytes), new WireMemory(FrameBytes));
            way.Transfer(FrameBytes, 4);
            using var bulk = new Bulk(way);
            var beside = pinging.RoundTrips(duration);
            rows.Add(Row(kind.ToString(), bulk.Stop(), beside, allowed));
        }

        return new BenchReport(
            "wire-control",
            "Small control messages beside bulk frames",
            $"A message of the protocol goes over Akka.Remote and back every {PingEvery.TotalMilliseconds:F0} ms, while frames of {FrameBytes >> 20} MiB leave every {FrameEvery.TotalMilliseconds:F0} ms "
            + $"(80 MiB/s) on a link of their own. All in one process on loopback. Allowed: max({AllowedMilliseconds:F0} ms, {AllowedFactor:F0} × the idle p99).",
            ["bulk over", "MiB/s", "p50 ms", "p90 ms", "p99 ms", "max ms", "bound"],
            rows);
    }

    private static string[] Row(string name, double rate, IReadOnlyList<double> times, double? allowed)
    {
        var p99 = Distribution.Quantile(times, 0.99);
        return
        [
            name, $"{rate:F0}", $"{Distribution.Quantile(times, 0.5):F2}", $"{Distribution.Quantile(times, 0.9):F2}", $"{p99:F2}", $"{times.Max():F2}",
            allowed is { } bound ? $"{bound:F1} {(p99 <= bound ? "holds" : "missed")}" : "",
        ];
    }

    /// <summary>Two actor systems, one of which sends back what it gets.</summary>
    private sealed class Pinging : IDisposable
    {
        private const string Hocon = "akka { loglevel = WARNING, stdout-loglevel = WARNING, actor.provider = remote, remote.dot-netty.tcp { hostname = 127.0.0.1, port = 0, batching.enabled = off } }";

        private readonly ActorSystem _here = ActorSystem.Create("here", WireSetup.For(Hocon));
        private readonly ActorSystem _there = ActorSystem.Create("there", WireSetup.For(Hocon));
        private readonly BlockingCollection<TunnelProtocol.TunnelReceipt> _answers = [];
        private readonly IActorRef _own;
        private readonly IActorRef _echo;
        private long _number;

        internal Pinging()
        {
            _there.ActorOf(Props.Create(() => new Echo()), "echo");
            _own = _here.ActorOf(Props.Create(() => new Answers(_answers)));
            var address = ((ExtendedActorSystem)_there).Provider.DefaultAddress;
            _echo = _here.ActorSelection($"{address}/user/echo").ResolveOne(TimeSpan.FromSeconds(10)).Result;
        }

        public void Dispose()
        {
            Task.WaitAll(_here.Terminate(), _there.Terminate());
            _answers.Dispose();
        }

        /// <summary>Milliseconds of each round trip.</summary>
        internal IReadOnlyList<double> RoundTrips(TimeSpan duration)
        {
            List<double> times = [];
            using var pause = new ManualResetEventSlim();
            for (var start = Stopwatch.GetTimestamp(); Stopwatch.GetElapsedTime(start) < duration;)
            {
                var sent = Stopwatch.GetTimestamp();
                _echo.Tell(new TunnelProtocol.TunnelReceipt(++_number), _own);
                while (_answers.Take().Number != _number)
                {
                }

                times.Add(Stopwatch.GetElapsedTime(sent).TotalMilliseconds);
                pause.Wait(PingEvery);
            }

            return times;
        }

        private sealed class Echo : ReceiveActor
        {
            public Echo() => Receive<TunnelProtocol.TunnelReceipt>(receipt => Sender.Tell(receipt));
        }

        private sealed class Answers : ReceiveActor
        {
            public Answers(BlockingCollection<TunnelProtocol.TunnelReceipt> answers) => Receive<TunnelProtocol.TunnelReceipt>(answers.Add);
        }
    }

    /// <summary>A thread that sends a frame at every beat, as a stage would.</summary>
    private sealed class Bulk : IDisposable
    {
        private readonly LinkWay _way;
        private readonly Thread _thread;
        private readonly ManualResetEventSlim _stop = new();
        private readonly long _start = Stopwatch.GetTimestamp();
        private int _count;

        internal Bulk(LinkWay way)
        {
            _way = way;
            _thread = new Thread(Run);
            _thread.Start();
        }

        public void Dispose() => Stop();

        /// <summary>Ends it.</summary>
        /// <returns>MiB a second that were carried.</returns>
        internal double Stop()
        {
            if (!_stop.IsSet)
            {
                _stop.Set();
                _thread.Join();
            }

            return _count * (double)FrameBytes / (1 << 20) / Stopwatch.GetElapsedTime(_start).TotalSeconds;
        }

        private void Run()
        {
            while (!_stop.Wait(TimeSpan.Zero))
            {
                var begun = Stopwatch.GetTimestamp();
                _way.Transfer(FrameBytes, 1);
                _count++;
                var left = FrameEvery - Stopwatch.GetElapsedTime(begun);
                if (left > TimeSpan.Zero) _stop.Wait(left);
            }
        }
    }
}
