using System.Net;
using System.Text.Json;
using System.Threading.Channels;
using Akka.Actor;
using Pipeline.Coordinator;
using Pipeline.Nodes;
using Pipeline.Operator;
using Pipeline.Runs;
using Pipeline.Tests.Runs;
using Xunit;

namespace Pipeline.Tests.Operator;

/// <summary>Whom the watchdog tells: the run's events, and a webhook, which may be deaf.</summary>
public sealed class WatchdogTests : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(5);
    private readonly TemporaryFolder _folder = new();
    private readonly RunWatch _watch = new(TimeProvider.System);
    private readonly Channel<RunNotice> _recorded = Channel.CreateUnbounded<RunNotice>();
    private int _step;

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task A_sign_is_written_down_and_told_to_the_webhook_once_and_a_deaf_webhook_holds_nothing_up()
    {
        using Webhook hook = new();
        await using Watchdog dog = new(DeskOf, new WatchdogSettings(10, 120, 3, 0, hook.Address), TimeProvider.System);
        for (var calm = 0; calm < 30; calm++) Commit(3);
        Commit(30);
        var sign = Assert.IsType<RunNotice.Warned>(await NextAsync(_recorded.Reader));
        Assert.Equal(("loss-spike", 31L), (sign.Kind, sign.Step));
        var told = (await NextAsync(hook.Told)).RootElement;
        Assert.Equal(("loss-spike", 31L, sign.Message, _folder.Folder), (Text("event"), told.GetProperty("step").GetInt64(), Text("message"), Text("run")));

        // It is told again once it was gone; by then nobody listens at the webhook.
        hook.Dispose();
        for (var calm = 0; calm < 3; calm++) Commit(3);
        Commit(30);
        Assert.Equal(35, Assert.IsType<RunNotice.Warned>(await NextAsync(_recorded.Reader)).Step);
        Assert.False(hook.Told.TryRead(out _));

        string? Text(string name) => told.GetProperty(name).GetString();
    }

    private void Commit(double loss) => _watch.OnNotice(new RunNotice.StepCommitted(Steps.Of(++_step, loss)));

    private static async Task<T> NextAsync<T>(ChannelReader<T> reader) => await reader.ReadAsync().AsTask().WaitAsync(Patience);

    /// <summary>A desk whose records come back as notices, as a run's do.</summary>
    private CommandDesk DeskOf() => new(
        new OperatedRun(new RunFiles(_folder.Folder), ActorRefs.Nobody, _ => Task.FromResult<IReadOnlyList<OperatedNode>>([]), () => { })
        {
            Unled = notice =>
            {
                _recorded.Writer.TryWrite(notice);
                _watch.OnNotice(notice);
            },
        },
        _watch);

    /// <summary>Takes what is posted.</summary>
    private sealed class Webhook : IDisposable
    {
        private readonly HttpListener _listener = new();
        private readonly Channel<JsonDocument> _told = Channel.CreateUnbounded<JsonDocument>();

        internal Webhook()
        {
            Address = new Uri(FormattableString.Invariant($"http://127.0.0.1:{LoopbackPorts.Free(1)[0]}/hook/"));
            _listener.Prefixes.Add(Address.ToString());
            _listener.Start();
            _ = TakeAsync();
        }

        internal Uri Address { get; }

        internal ChannelReader<JsonDocument> Told => _told.Reader;

        public void Dispose() => _listener.Close();

        private async Task TakeAsync()
        {
            try
            {
                while (true)
                {
                    var context = await _listener.GetContextAsync();
                    _told.Writer.TryWrite(await JsonDocument.ParseAsync(context.Request.InputStream));
                    context.Response.Close();
                }
            }
            catch (Exception closed) when (closed is HttpListenerException or ObjectDisposedException or InvalidOperationException)
            {
                // The test is over, or wants it deaf.
            }
        }
    }
}
