using System.Globalization;
using System.Net;
using Akka.Actor;
using Microsoft.Playwright;
using Pipeline.Coordinator;
using Pipeline.Dashboard;
using Pipeline.Nodes;
using Pipeline.Operator;
using Pipeline.Protocol;
using Pipeline.Runs;
using Xunit;

namespace Pipeline.Browser.Tests;

/// <summary>The page at every width, in both colour schemes, after many steps: readable, reachable by keyboard and by those who hear it.</summary>
public sealed class ReadablePageTests(HeadlessBrowser browser) : IClassFixture<HeadlessBrowser>, IAsyncLifetime
{
    private const string EvilName = "<img src=x onerror=document.title='evil'>\u001b[2J";
    /// <summary>Points of a course: as many as a wide screen has columns, and some.</summary>
    private const int MostHeld = 8000;

    private readonly string _folder = Directory.CreateTempSubdirectory("pipeline-page-").FullName;
    private readonly RunWatch _watch = new(TimeProvider.System);
    private readonly ActorSystem _system = ActorSystem.Create("page", "akka { loglevel = ERROR, stdout-loglevel = ERROR }");
    private DashboardServer _server = null!;

    public async Task InitializeAsync()
    {
        IReadOnlyList<OperatedNode> nodes = [new(new NodeId("a", 1), Node("node-1", true)), new(new NodeId("b", 1), Node(EvilName, false)), new(new NodeId("c", 1), Node("node-3", false))];
        IReadOnlyList<LinkLine> links = [new("node-1", "node-3", "unix", "frames", 0, 1, true, 123_456_789, 4 << 20, 1 << 19, 0, 0), new("node-3", "node-1", "tls", "frames", 1, 0, false, 99_456_789, 0, 8 << 20, 3, 1)];
        var coordinator = _system.ActorOf(Props.Create(() => new Standing()));
        var desk = new CommandDesk(new OperatedRun(new RunFiles(Path.Combine(_folder, "run")), coordinator, _ => Task.FromResult(nodes), () => { }) { Links = _ => Task.FromResult(links) }, _watch);
        _server = await DashboardServer.StartAsync(new DashboardOptions(new IPEndPoint(IPAddress.Loopback, LoopbackPorts.Free(1)[0]), "token"), () => desk, TimeProvider.System);

        static NodeLine Node(string name, bool leads) => new(name, Environment.ProcessId, ["coordinator", "stage"], "", Environment.MachineName, leads);
    }

    public async Task DisposeAsync()
    {
        await _server.DisposeAsync();
        await _system.Terminate();
        Directory.Delete(_folder, recursive: true);
    }

    [SkippableTheory]
    [InlineData(1280, false)]
    [InlineData(1280, true)]
    [InlineData(390, false)]
    [InlineData(390, true)]
    public async Task Every_page_fits_its_window_has_readable_contrast_and_a_name_for_everything_that_can_be_used(int width, bool isDark)
    {
        Train(600);
        await using var page = await browser.OpenAsync(new Uri(_server.Address, "#token=token"), width, 844, isDark);
        await page.TextAsync("phase", "running");
        // What is wrong stands where it is seen first.
        await page.TextAsync("health", "node-lost");
        await page.TextAsync("health", "loss-spike");
        foreach (var tab in new[] { "run", "pipeline", "cluster", "console" })
        {
            await page.Page.ClickAsync("#tab-" + tab);
            if (tab == "pipeline") await page.TextAsync("t-times", "the schedule alone");
            if (tab == "cluster") await page.TextAsync("links", "MiB/s");
            if (tab == "console") await page.CommandAsync("status", "generation");
            await page.PictureAsync(string.Create(CultureInfo.InvariantCulture, $"{tab}-{width}{(isDark ? "-dark" : "")}"));
            var overhang = await page.Page.EvaluateAsync<int>("() => document.documentElement.scrollWidth - document.documentElement.clientWidth");
            Assert.True(overhang <= 0, $"{tab} is {overhang} pixels wider than the window");
            Assert.Empty(await page.Page.EvaluateAsync<string[]>(Unnamed));
            var pale = await page.Page.EvaluateAsync<string[]>(Pale);
            Assert.True(pale.Length == 0, $"{tab}: {string.Join(", ", pale)}");
        }

        Assert.Empty(page.Errors);
        Assert.NotEqual("evil", await page.Page.TitleAsync());
    }

    [SkippableFact]
    public async Task All_of_the_page_is_reached_by_the_keyboard_alone()
    {
        Train(50);
        await using var page = await browser.OpenAsync(_server.Address);
        await page.TextAsync("phase", "running");
        HashSet<string> reached = [];
        foreach (var tab in new[] { "run", "pipeline", "cluster", "console" })
        {
            await page.Page.FocusAsync("#tab-" + tab);
            await page.Page.Keyboard.PressAsync("Enter");
            await page.Page.FocusAsync("#tab-" + tab);
            for (var presses = 0; presses < 20; presses++)
            {
                await page.Page.Keyboard.PressAsync("Tab");
                reached.Add(await page.Page.EvaluateAsync<string>("() => document.activeElement.id || document.activeElement.textContent"));
            }
        }

        Assert.Superset(new HashSet<string> { "smoothing", "compare", "reset", "timeline", "only", "happenings", "output", "line", "token", "pause" }, reached);
    }

    [SkippableFact]
    public async Task A_page_after_a_hundred_thousand_steps_holds_some_thousand_points_and_follows_what_comes_at_a_thousand_steps_a_minute()
    {
        Train(100_000);
        await using var page = await browser.OpenAsync(_server.Address);
        await page.AfterStepAsync(99_999);
        Assert.InRange(await HeldAsync(), 1000, MostHeld);
        for (var step = 100_001; step <= 100_200; step++)
        {
            _watch.OnNotice(new RunNotice.StepCommitted(Step(step)));
            await Task.Delay(TimeSpan.FromMilliseconds(20));
        }

        await page.AfterStepAsync(100_199);
        Assert.InRange(await HeldAsync(), 1000, MostHeld);
        Assert.Empty(page.Errors);

        // The page's own module: what it is given is what each of the charts draws anew.
        Task<int> HeldAsync() => page.Page.EvaluateAsync<int>("async () => (await import('/charts.js')).add([])");
    }

    [SkippableFact]
    public async Task A_page_whose_server_begins_anew_at_the_same_address_goes_on_with_what_the_new_one_knows()
    {
        Train(40);
        await using var page = await browser.OpenAsync(_server.Address);
        await page.AfterStepAsync(39);
        var listen = new IPEndPoint(IPAddress.Loopback, _server.Address.Port);
        await _server.DisposeAsync();
        await page.TextAsync("phase", "no answer");
        RunWatch watch = new(TimeProvider.System);
        for (var step = 1; step <= 60; step++) watch.OnNotice(new RunNotice.StepCommitted(Step(step)));
        var desk = new CommandDesk(new OperatedRun(new RunFiles(Path.Combine(_folder, "run")), ActorRefs.Nobody, _ => Task.FromResult<IReadOnlyList<OperatedNode>>([]), () => { }), watch);
        _server = await DashboardServer.StartAsync(new DashboardOptions(listen, "token"), () => desk, TimeProvider.System);
        await page.AfterStepAsync(59);
        watch.OnNotice(new RunNotice.StepCommitted(Step(61)));
        await page.AfterStepAsync(60);
    }

    [SkippableFact]
    public async Task A_part_of_the_course_is_looked_at_closely_smoothed_and_held_against_another_run()
    {
        RunFiles other = new(Path.Combine(_folder, "other"));
        Directory.CreateDirectory(other.Folder);
        await File.WriteAllTextAsync(other.Configuration, "pipeline.seed = 1\n");
        using (var metrics = MetricsWriter.Create(other.Metrics))
        {
            for (var step = 1; step <= 600; step++) metrics.Write(RunRecorder.MetricsOf(Step(step) with { Loss = 7 }));
        }

        Train(600);
        await using var page = await browser.OpenAsync(_server.Address);
        await page.AfterStepAsync(599);
        // Dragged from a quarter to the half of the axis: the points of that part alone are asked for.
        var zoomed = await ZoomAsync(page, 0.25f, 0.5f);
        var points = System.Text.Json.JsonDocument.Parse(await zoomed.TextAsync()).RootElement.GetProperty("points");
        Assert.InRange(points.GetArrayLength(), 100, 250);
        Assert.InRange(points[0][0].GetInt64(), 100, 200);
        await LegendAsync(page, 0.02f, "step", "text => +text > 100 && +text < 250");
        await page.Page.ClickAsync("#reset");
        await LegendAsync(page, 0.02f, "step", "text => +text < 50");

        // Without smoothing both lines are one; with much of it they are not.
        await SmoothAsync(page, "0");
        await LegendAsync(page, 0.4f, "smoothed", "(text, all) => text === all['each step'] && +text > 0");
        await SmoothAsync(page, "0.99");
        await LegendAsync(page, 0.4f, "smoothed", "(text, all) => text !== all['each step'] && +text > 0");

        await page.Page.SelectOptionAsync("#compare", "other");
        await LegendAsync(page, 0.4f, "other run", "text => text === '7.000'");
        await page.PictureAsync("compared");
        await page.Page.ClickAsync("#tab-cluster");
        await page.Page.SelectOptionAsync("#only", "command");
        Assert.Equal(["command"], await page.Page.EvaluateAsync<string[]>("() => [...new Set([...document.querySelectorAll('#happenings li')].filter(one => !one.hidden).map(one => one.dataset.kind))]"));
        Assert.Empty(page.Errors);
    }

    /// <summary>Drags over the first chart, and again where it was drawn anew meanwhile, until the points of a part are asked for.</summary>
    /// <returns>What was answered first.</returns>
    private static async Task<IResponse> ZoomAsync(WatchedPage page, float from, float to)
    {
        var answer = page.Page.WaitForResponseAsync(response => response.Url.Contains("through=", StringComparison.Ordinal));
        while (!answer.IsCompleted)
        {
            await DragAsync(page, from, to);
            await Task.WhenAny(answer, Task.Delay(TimeSpan.FromSeconds(3)));
        }

        return await answer;
    }

    /// <summary>Drags over the first chart, between two shares of its width.</summary>
    private static async Task DragAsync(WatchedPage page, float from, float to)
    {
        await PointAsync(page, from);
        await page.Page.Mouse.DownAsync();
        await PointAsync(page, to);
        await page.Page.Mouse.UpAsync();
    }

    private static async Task PointAsync(WatchedPage page, float share)
    {
        // There is none while the charts are drawn anew.
        if (await page.Page.Locator("#charts .u-over").First.BoundingBoxAsync() is not { } box) return;
        await page.Page.Mouse.MoveAsync(box.X + (box.Width * share), box.Y + (box.Height / 2), new() { Steps = 5 });
    }

    private static Task SmoothAsync(WatchedPage page, string share) => page.Page.EvaluateAsync(
        "share => { const slider = document.getElementById('smoothing'); slider.value = share; slider.dispatchEvent(new Event('input')); }", share);

    /// <summary>Points into the first chart, and again, until a value of its legend is as it should be.</summary>
    private static async Task LegendAsync(WatchedPage page, float share, string label, string test)
    {
        const string legend = "Object.fromEntries([...document.querySelector('#charts .u-legend').querySelectorAll('.u-series')].map(row => [row.querySelector('.u-label').textContent, row.querySelector('.u-value').textContent.replaceAll(',', '')]))";
        var start = TimeProvider.System.GetTimestamp();
        while (true)
        {
            await PointAsync(page, share + 0.01f);
            await PointAsync(page, share);
            if (await page.Page.EvaluateAsync<bool>($"() => (all => ({test})(all['{label}'], all))({legend})")) return;
            Assert.True(TimeProvider.System.GetElapsedTime(start) < TimeSpan.FromSeconds(120), $"{label}: {await page.Page.EvaluateAsync<string>($"() => JSON.stringify({legend})")}");
            await Task.Delay(100);
        }
    }

    private void Train(int steps)
    {
        for (var step = 1; step <= steps; step++)
        {
            _watch.OnNotice(new RunNotice.StepCommitted(Step(step)));
            if (step % 100 == 0) _watch.OnNotice(new RunNotice.Evaluated(step, 1.6 + 4 * Math.Exp(-step / 150.0), 1));
            if (step % 200 == 0) _watch.OnNotice(new RunNotice.CheckpointSaved(step, 12 << 20, null));
        }

        _watch.OnNotice(new RunNotice.Commanded(EvilName, "pause", true, "The run is paused."));
        _watch.OnNotice(new RunNotice.NodeLost(new NodeInfo(new NodeId("d", 1), "", [], "", 1, 0, 1, EvilName, ""), "It has not been heard of for 3 s."));
        _watch.OnNotice(new RunNotice.Recovered(new Generation(2), TimeSpan.FromSeconds(0.1), TimeSpan.FromSeconds(0.2), TimeSpan.FromSeconds(0.3)));
        _watch.OnNotice(new RunNotice.Warned("loss-spike", steps, "The loss of the step is above the others."));
    }

    private static StepSummary Step(int step)
    {
        var loss = step == 300 ? double.NaN : 1.5 + 4 * Math.Exp(-step / 150.0) + 0.08 * Math.Sin(step * 12.9898);
        IReadOnlyList<RankSummary> ranks = [.. Enumerable.Range(0, 2).Select(rank => new RankSummary(rank, new StepTiming(0.06, 0.048 - 0.01 * rank, 0.01), 0, step % 50 == 0 || step < 20 ? Spans(rank) : []))];
        return new StepSummary(step, loss, 1.2 + 0.3 * Math.Sin(step * 0.7), 3e-4 * Math.Min(1, step / 40.0), 4096, 0.06 + 0.004 * Math.Sin(step), 0.2, ranks, []);
    }

    /// <summary>A step of two stages and four micro-batches, in milliseconds.</summary>
    private static IReadOnlyList<ExecutedSpan> Spans(int rank)
    {
        string[] actions = rank == 0 ? ["0F0", "0F1", "0B0", "0F2", "0B1", "0F3", "0B2", "0B3", "0O"] : ["1F0", "1B0", "1F1", "1B1", "1F2", "1B2", "1F3", "1B3", "1O"];
        int[] starts = rank == 0 ? [0, 4, 17, 25, 29, 37, 41, 53, 62] : [5, 9, 17, 21, 29, 33, 41, 45, 53];
        return [.. actions.Zip(starts, (action, start) => new ExecutedSpan(action, 0, start * 10_000L, (start + (action[1] == 'B' ? 8 : action[1] == 'F' ? 4 : 3)) * 10_000L))];
    }

    // Everything that can be used must have a name for those who hear the page.
    private const string Unnamed = """
        () => [...document.querySelectorAll('button, input, select, canvas, [tabindex]')].filter(one => one.offsetParent !== null
            && !one.closest('[role=img][aria-label]') && !(one.getAttribute('aria-label') || one.getAttribute('aria-labelledby') || (one.labels && one.labels.length) || one.textContent.trim())).map(one => one.outerHTML.slice(0, 120))
        """;

    // Text whose contrast with what lies behind it is below 4.5 : 1 (WCAG 2.2, 1.4.3).
    private const string Pale = """
        () => {
          const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
          const rgba = color => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1); const d = canvas.getImageData(0, 0, 1, 1).data; return [d[0], d[1], d[2], d[3] / 255]; };
          const over = (top, under) => [0, 1, 2].map(i => top[i] * top[3] + under[i] * (1 - top[3])).concat(1);
          const light = color => { const [r, g, b] = color.slice(0, 3).map(v => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
          const behind = one => { const layers = []; for (let at = one; at; at = at.parentElement) { const c = rgba(getComputedStyle(at).backgroundColor); layers.push(c); if (c[3] === 1) break; } return layers.reverse().reduce((under, top) => over(top, under), [255, 255, 255, 1]); };
          const pale = new Set();
          for (const one of document.querySelectorAll('body *')) {
            if (one.offsetParent === null || ![...one.childNodes].some(node => node.nodeType === 3 && node.textContent.trim())) continue;
            const back = behind(one), fore = over(rgba(getComputedStyle(one).color), back), [a, b] = [light(back), light(fore)].sort((x, y) => y - x);
            const contrast = (a + 0.05) / (b + 0.05);
            if (contrast < 4.5) pale.add(`${one.tagName}.${one.className}#${one.id} "${one.textContent.trim().slice(0, 20)}" ${contrast.toFixed(2)}`);
          }
          return [...pale];
        }
        """;

    /// <summary>A coordinator that says how things stand.</summary>
    private sealed class Standing : ReceiveActor
    {
        public Standing()
        {
            var schedule = Schedules.ScheduleText.Format(Schedules.ScheduleCatalog.Generate("1f1b", 2, 4));
            Receive<QueryStatus>(_ => Sender.Tell(new RunStatus(new Generation(2), 600, 604, 590,
                [new RankStatus(0, new NodeId("a", 1), new NodeId("c", 1), 4, 600, true), new RankStatus(1, new NodeId("c", 1), new NodeId("a", 1), 4, 600, true)], [], "running", 1000, schedule)));
            Receive<IOperation>(_ => Sender.Tell(new OperationResult(true, "It is done.")));
            ReceiveAny(_ => { });
        }
    }
}
