using System.Collections.Concurrent;
using System.Diagnostics;
using System.Net;
using System.Runtime.Versioning;
using System.Text;
using Pipeline.Chaos;
using Pipeline.Nodes;
using Pipeline.Protocol;
using Pipeline.Runs;
using Xunit;

namespace Pipeline.Cluster.Tests;

/// <summary>What real processes send to a collector.</summary>
[SupportedOSPlatform("linux")]
public sealed class TraceTests(TinyTraining tiny) : IClassFixture<TinyTraining>
{
    [Fact]
    public async Task Every_process_of_a_run_sends_its_own_part_of_a_steps_trace()
    {
        using Collector collector = new();
        Dictionary<string, string> variables = new() { ["OTEL_EXPORTER_OTLP_PROTOCOL"] = "http/protobuf", ["OTEL_BSP_SCHEDULE_DELAY"] = "200" };
        using var train = ProgramRun.Start(variables, tiny.Arguments("traced", 40, "--stages", "2", "--processes", "3", "--set", "link.kind=unix", "--set", $"telemetry.otlp=\"{collector.Address}\""));
        var code = await train.EndAsync();
        Assert.True(code == 0, train.Output);
        var run = RunJournal.Last(new RunFiles(tiny.In("traced")).Journal)!.Run;
        for (var step = 1L; step <= 40; step++)
        {
            // Two ranks, each in a process of its own, and the leader.
            var senders = collector.SendersOf(StepTraces.TraceOf(run, step));
            Assert.True(senders.Count == 3, $"step {step}: {string.Join(", ", senders)}");
        }
    }

    /// <summary>Takes what exporters post, and finds out from its bytes who has sent it and whether it holds a trace.</summary>
    private sealed class Collector : IDisposable
    {
        private readonly HttpListener _listener = new();
        private readonly ConcurrentQueue<byte[]> _posts = new();

        internal Collector()
        {
            Address = $"http://127.0.0.1:{LoopbackPorts.Free(1)[0]}/";
            _listener.Prefixes.Add(Address);
            _listener.Start();
            _ = TakeAsync();
        }

        internal string Address { get; }

        internal IReadOnlyCollection<string> SendersOf(ActivityTraceId trace)
        {
            var id = Convert.FromHexString(trace.ToHexString());
            return [.. _posts.Where(post => post.AsSpan().IndexOf(id) >= 0).Select(SenderOf).Distinct().Order(StringComparer.Ordinal)];
        }

        public void Dispose() => _listener.Close();

        /// <summary>An attribute is its key, then field 2 with a value whose field 1 is the text: one byte each for tags and short lengths.</summary>
        private static string SenderOf(byte[] post)
        {
            var key = "service.instance.id"u8;
            var place = post.AsSpan().IndexOf(key);
            return place < 0 ? "nobody" : Encoding.UTF8.GetString(post.AsSpan(place + key.Length + 4, post[place + key.Length + 3]));
        }

        private async Task TakeAsync()
        {
            try
            {
                while (true)
                {
                    var context = await _listener.GetContextAsync();
                    using MemoryStream body = new();
                    await context.Request.InputStream.CopyToAsync(body);
                    _posts.Enqueue(body.ToArray());
                    context.Response.ContentType = "application/x-protobuf";
                    context.Response.Close();
                }
            }
            catch (Exception closed) when (closed is HttpListenerException or ObjectDisposedException)
            {
                // The test is over.
            }
        }
    }
}
