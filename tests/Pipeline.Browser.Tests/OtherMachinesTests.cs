using System.Collections.Concurrent;
using System.Net;
using Akka.Actor;
using Pipeline.Coordinator;
using Pipeline.Dashboard;
using Pipeline.Nodes;
using Pipeline.Operator;
using Pipeline.Protocol;
using Pipeline.Runs;
using Xunit;

namespace Pipeline.Browser.Tests;

/// <summary>The page of a run over several machines, once the one that served it is gone. Its names are all this machine's, for this browser alone.</summary>
public sealed class OtherMachinesTests(HeadlessBrowser browser) : IClassFixture<HeadlessBrowser>, IDisposable
{
    private const string Token = "secret-of-the-run";
    private readonly string _folder = Directory.CreateTempSubdirectory("pipeline-hosts-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [SkippableFact]
    public async Task A_page_that_nobody_answers_names_where_the_run_may_be_led_and_asks_none_of_them()
    {
        Skip.If(HeadlessBrowser.Path is null, "No Chromium on the path, and PIPELINE_CHROMIUM names none.");
        // Nobody else is given it before the next server has it.
        var port = LoopbackPorts.Free(1)[0];
        var server = await StartAsync(new IPEndPoint(IPAddress.Any, port));
        var own = FormattableString.Invariant($"http://{HeadlessBrowser.HostOf("one")}:{port}/");
        await using var page = await browser.OpenAsync(new Uri($"{own}#token={Token}"));
        ConcurrentQueue<string> asked = new();
        page.Page.Request += (_, request) => asked.Enqueue(request.Url);
        await page.TextAsync("phase", "running");
        Assert.False(await page.Page.Locator("#notice").IsVisibleAsync());

        await server.DisposeAsync();
        await page.TextAsync("phase", "no answer");
        await page.TextAsync("notice", "led from another machine");
        // The two others that may lead; not the one that only holds stages, and nothing that would give the token away.
        Assert.Equal(
            [FormattableString.Invariant($"http://{HeadlessBrowser.HostOf("two")}:{port}/"), FormattableString.Invariant($"http://{HeadlessBrowser.HostOf("three")}:{port}/")],
            await page.Page.EvaluateAsync<string[]>("() => [...document.querySelectorAll('#notice a')].map(link => link.href)"));
        Assert.DoesNotContain(Token, await page.Page.ContentAsync(), StringComparison.Ordinal);
        await page.PictureAsync("other-machines");

        // Whoever leads next may lie here after all.
        await using var next = await StartAsync(new IPEndPoint(IPAddress.Any, port));
        await page.TextAsync("phase", "running");
        await page.UntilAsync("document.getElementById('notice').hidden");
        Assert.NotEmpty(asked);
        Assert.All(asked, address => Assert.StartsWith(own, address, StringComparison.Ordinal));
    }

    private Task<DashboardServer> StartAsync(IPEndPoint listen)
    {
        IReadOnlyList<OperatedNode> nodes = [Node("one", "coordinator", "stage"), Node("two", "coordinator", "stage"), Node("three", "coordinator"), Node("four", "stage")];
        RunWatch watch = new(TimeProvider.System);
        watch.OnNotice(new RunNotice.StepCommitted(new StepSummary(1, 3, 1, 1e-3, 1000, 0.1, 0.2, [], [])));
        CommandDesk desk = new(new OperatedRun(new RunFiles(_folder), ActorRefs.Nobody, _ => Task.FromResult(nodes), () => { }), watch);
        return DashboardServer.StartAsync(new DashboardOptions(listen, Token), () => desk, TimeProvider.System);
    }

    private static OperatedNode Node(string name, params string[] roles) =>
        new(new NodeId(name, 1), new NodeLine(name, Environment.ProcessId, roles, $"akka.tcp://pipeline@{HeadlessBrowser.HostOf(name)}:4053", HeadlessBrowser.HostOf(name), name == "one"));
}
