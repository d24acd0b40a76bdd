using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Akka.Actor;
using Pipeline.Coordinator;
using Pipeline.Dashboard;
using Pipeline.Nodes;
using Pipeline.Operator;
using Pipeline.Protocol;
using Pipeline.Runs;
using Pipeline.Tests.Operator;
using Pipeline.Tests.Protocol.Security.Guard;
using Pipeline.Tests.Runs;
using Pipeline.Tests.Training;
using Xunit;

namespace Pipeline.Tests.Dashboard;

/// <summary>
/// The web page's server over real HTTP on loopback: what it serves, and whom it refuses. What Prometheus reads is of the whole process, so that no other run
/// may count and end in it meanwhile.
/// </summary>
[Collection(PipelineCollection.Name)]
public sealed partial class DashboardServerTests : IAsyncLifetime
{
    private const string Token = "0123456789abcdef";
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(5);
    private readonly TemporaryFolder _folder = new();
    private readonly RunWatch _watch = new(TimeProvider.System);
    private readonly RunMeter _meter = new(TimeProvider.System);
    private CommandDesk _desk = null!;
    private DashboardServer _server = null!;
    private readonly System.Collections.Concurrent.ConcurrentQueue<RunNotice.Commanded> _audit = new();
    private HttpClient _client = null!;
    private int _stops;

    public async Task InitializeAsync()
    {
        IReadOnlyList<OperatedNode> nodes = [new(default, new NodeLine("<b>evil</b>\u001b[2J", Environment.ProcessId, ["stage"], "", Environment.MachineName, true))];
        // Without a coordinator: what the unsplit trainer's run can be asked.
        var desk = new CommandDesk(new OperatedRun(new RunFiles(_folder.Folder), ActorRefs.Nobody, _ => Task.FromResult(nodes), () => _stops++)
        {
            Unled = notice => _audit.Enqueue((RunNotice.Commanded)notice),
        },
        _watch);
        _desk = desk;
        _server = await StartAsync(new DashboardOptions(new IPEndPoint(IPAddress.Loopback, 0), Token));
        _client = new HttpClient { BaseAddress = _server.Address, Timeout = Patience };
    }

    public async Task DisposeAsync()
    {
        _client.Dispose();
        await _server.DisposeAsync();
        _meter.Dispose();
        _folder.Dispose();
    }

    [Theory]
    [InlineData("/", "text/html")]
    [InlineData("/app.js", "text/javascript")]
    [InlineData("/charts.js", "text/javascript")]
    [InlineData("/pipeline.js", "text/javascript")]
    [InlineData("/cluster.js", "text/javascript")]
    [InlineData("/console.js", "text/javascript")]
    [InlineData("/format.js", "text/javascript")]
    [InlineData("/net.js", "text/javascript")]
    [InlineData("/style.css", "text/css")]
    [InlineData("/uPlot.js", "text/javascript")]
    [InlineData("/uPlot.css", "text/css")]
    [InlineData("/uPlot.LICENSE", "text/plain")]
    [InlineData("/favicon.svg", "image/svg+xml")]
    public async Task The_page_comes_whole_under_a_strict_policy(string path, string type)
    {
        using var response = await _client.GetAsync(path);
        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        Assert.Equal(type, response.Content.Headers.ContentType!.MediaType);
        var policy = Assert.Single(response.Headers.GetValues("Content-Security-Policy"));
        Assert.StartsWith("default-src 'none'", policy, StringComparison.Ordinal);
        Assert.DoesNotContain("unsafe", policy, StringComparison.Ordinal);
        if (type == "text/html") Assert.DoesNotContain("//", (await response.Content.ReadAsStringAsync()).Replace("http://www.w3.org", "", StringComparison.Ordinal), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_change_needs_the_token_and_consent()
    {
        Assert.Equal(HttpStatusCode.Forbidden, (await PostAsync("stop --yes", null)).StatusCode);
        Assert.Equal(HttpStatusCode.Forbidden, (await PostAsync("stop --yes", "wrong")).StatusCode);
        Assert.Equal(0, _stops);
        var asked = await PostAsync("stop", Token);
        Assert.True((await asked.Content.ReadFromJsonAsync<JsonObject>())!["asks"]!.GetValue<bool>());
        Assert.Equal(0, _stops);
        Assert.True((await (await PostAsync("stop --yes", Token)).Content.ReadFromJsonAsync<JsonObject>())!["done"]!.GetValue<bool>());
        Assert.Equal(1, _stops);
        // Two that did not show the token, one that did and was sure; one that only asked is nothing to write down.
        Assert.Equal([false, false, true], _audit.Select(one => one.IsDone));
        Assert.All(_audit, one => Assert.Contains("127.0.0.1", one.Operator, StringComparison.Ordinal));
        Assert.Equal(["", "", "stop --yes"], _audit.Select(one => one.Command));
        Assert.Contains("The token is missing", _audit.First().Result, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_request_that_is_sent_again_is_refused_and_both_are_written_down()
    {
        Assert.True((await (await PostAsync("stop --yes", Token, "call-1")).Content.ReadFromJsonAsync<JsonObject>())!["done"]!.GetValue<bool>());
        Assert.False((await (await PostAsync("stop --yes", Token, "call-1")).Content.ReadFromJsonAsync<JsonObject>())!["done"]!.GetValue<bool>());
        Assert.Equal(1, _stops);
        Assert.Equal([true, false], _audit.Select(one => one.IsDone));
    }

    [Theory]
    [InlineData("Sec-Fetch-Site", "cross-site")]
    [InlineData("Origin", "http://evil.example")]
    [InlineData("Origin", "null")]
    [InlineData("Host", "evil.example")]
    public async Task What_another_site_causes_is_refused(string header, string value)
    {
        using HttpRequestMessage request = new(HttpMethod.Post, "/api/command") { Content = JsonContent.Create(new JsonObject { ["line"] = "stop --yes" }) };
        request.Headers.Authorization = new("Bearer", Token);
        request.Headers.TryAddWithoutValidation(header, value);
        Assert.Equal(HttpStatusCode.Forbidden, (await _client.SendAsync(request)).StatusCode);
        Assert.Equal(0, _stops);
        Assert.False(Assert.Single(_audit).IsDone);
    }

    [Fact]
    public async Task A_name_that_was_pointed_here_may_not_even_read()
    {
        using HttpRequestMessage request = new(HttpMethod.Get, "/api/status");
        request.Headers.Host = "evil.example";
        Assert.Equal(HttpStatusCode.Forbidden, (await _client.SendAsync(request)).StatusCode);
    }

    [Fact]
    public async Task A_body_of_another_kind_is_refused()
    {
        using HttpRequestMessage request = new(HttpMethod.Post, "/api/command") { Content = new StringContent("{\"line\":\"stop --yes\"}", System.Text.Encoding.UTF8, "text/plain") };
        request.Headers.Authorization = new("Bearer", Token);
        Assert.Equal(HttpStatusCode.Forbidden, (await _client.SendAsync(request)).StatusCode);
        Assert.Equal(0, _stops);
    }

    [Fact]
    public async Task The_course_of_a_long_run_is_thinned_and_ends_with_its_newest_step()
    {
        for (var step = 1; step <= 20_000; step++) _watch.OnNotice(new RunNotice.StepCommitted(Steps.Of(step, 5.0 / step)));
        var points = (await _client.GetFromJsonAsync<JsonObject>("/api/points?most=500"))!["points"]!.AsArray();
        Assert.Equal(500, points.Count);
        Assert.Equal(20_000, points[^1]![0]!.GetValue<long>());
        points = (await _client.GetFromJsonAsync<JsonObject>("/api/points?after=100&through=110"))!["points"]!.AsArray();
        Assert.Equal(Enumerable.Range(101, 10).Select(step => (long)step), points.Select(point => point![0]!.GetValue<long>()));
    }

    [Fact]
    public async Task What_happens_is_streamed()
    {
        using CancellationTokenSource limit = new(Patience);
        using var response = await _client.GetAsync("/api/stream", HttpCompletionOption.ResponseHeadersRead, limit.Token);
        using StreamReader reader = new(await response.Content.ReadAsStreamAsync(limit.Token));
        Assert.Equal(": here", await reader.ReadLineAsync(limit.Token));
        _watch.OnNotice(new RunNotice.StepCommitted(Steps.Of(7, 3.25)));
        _watch.OnNotice(new RunNotice.Paused(7));
        List<string> lines = [];
        while (lines.Count(line => line.StartsWith("event:", StringComparison.Ordinal)) < 2 || lines[^1].Length > 0) lines.Add((await reader.ReadLineAsync(limit.Token))!);
        Assert.Contains("event: steps", lines);
        Assert.Contains("data: [[7,3.25,1,0.001,1000,0.2,1]]", lines);
        Assert.Contains(lines, line => line.Contains("run-paused", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("/api/status")]
    [InlineData("/api/points")]
    [InlineData("/api/compare?run=other")]
    [InlineData("/api/stream")]
    [InlineData("/metrics")]
    [InlineData("/healthz")]
    [InlineData("/nothing")]
    public async Task On_an_address_that_others_reach_everything_but_the_page_itself_needs_the_token(string path)
    {
        await using var server = await StartAsync(new DashboardOptions(new IPEndPoint(IPAddress.Any, 0), Token));
        using HttpClient client = new() { BaseAddress = new Uri($"http://127.0.0.1:{server.Address.Port}"), Timeout = Patience };
        Assert.Equal(HttpStatusCode.Forbidden, (await client.GetAsync(path)).StatusCode);
        Assert.Equal(HttpStatusCode.Forbidden, (await client.SendAsync(new HttpRequestMessage(HttpMethod.Head, path))).StatusCode);
        // A token in the address would stand in logs and histories.
        Assert.Equal(HttpStatusCode.Forbidden, (await client.GetAsync(path + (path.Contains('?', StringComparison.Ordinal) ? "&" : "?") + "token=" + Token)).StatusCode);
        client.DefaultRequestHeaders.Authorization = new("Bearer", Token + "0");
        Assert.Equal(HttpStatusCode.Forbidden, (await client.GetAsync(path)).StatusCode);
        client.DefaultRequestHeaders.Authorization = new("Bearer", Token);
        Assert.NotEqual(HttpStatusCode.Forbidden, (await client.GetAsync(path, HttpCompletionOption.ResponseHeadersRead)).StatusCode);
        client.DefaultRequestHeaders.Authorization = null;
        Assert.Equal(HttpStatusCode.OK, (await client.GetAsync("/")).StatusCode);
    }

    [Fact]
    public async Task The_next_leader_takes_the_port_of_the_former_one_so_that_a_page_finds_it_and_another_where_somebody_has_it()
    {
        // Nobody else is given it when the former one lets go of it.
        var former = await StartAsync(new DashboardOptions(new IPEndPoint(IPAddress.Loopback, LoopbackPorts.Free(1)[0]), Token));
        var address = former.Address;
        MovableMonotonicTime time = new();
        var beside = NextAsync();
        time.Advance(TimeSpan.FromSeconds(5));
        await using (var other = await beside) Assert.NotEqual(address, other.Address);
        // However long that takes here, it waits for one that is about to end.
        var next = NextAsync();
        await former.DisposeAsync();
        await using var server = await next;
        Assert.Equal(address, server.Address);
        using HttpClient client = new() { BaseAddress = address, Timeout = Patience };
        Assert.Equal("ok\n", await client.GetStringAsync("/healthz"));

        Task<DashboardServer> NextAsync() => DashboardServer.StartAsync(new DashboardOptions(new IPEndPoint(IPAddress.Loopback, 0), Token, address), () => _desk, time);
    }

    [Fact]
    public async Task Another_run_is_compared_by_its_course_as_far_as_it_has_come()
    {
        RunFiles other = new(Path.Combine(Path.GetDirectoryName(_folder.Folder)!, Path.GetFileName(_folder.Folder) + "-other"));
        Directory.CreateDirectory(other.Folder);
        try
        {
            using (var metrics = MetricsWriter.Create(other.Metrics))
            {
                for (var step = 1; step <= 3; step++) metrics.Write(RunRecorder.MetricsOf(Steps.Of(step, step == 2 ? double.NaN : 4.0 / step)));
                metrics.Write(new EvaluationMetrics(3, 1.5, null));
            }

            // A line that is being written is no course yet.
            await File.AppendAllTextAsync(other.Metrics, "{\"step\": 4, \"lo");
            var compared = (await _client.GetFromJsonAsync<JsonObject>("/api/compare?run=" + Path.GetFileName(other.Folder)))!;
            Assert.Equal([(1L, 4.0), (2L, null), (3L, 4.0 / 3)], compared["points"]!.AsArray().Select(point => (point![0]!.GetValue<long>(), point[1]?.GetValue<double>())));
            Assert.Equal(1.5, compared["evaluations"]![0]![1]!.GetValue<double>());
        }
        finally
        {
            Directory.Delete(other.Folder, recursive: true);
        }
    }

    [Fact]
    public async Task What_Prometheus_reads_keeps_the_rules_of_its_format()
    {
        _meter.OnNotice(new RunNotice.StepCommitted(Steps.Of(1, double.NaN) with { Ranks = [new RankSummary(0, new StepTiming(1, 0.75, 0.25), 0, []), new RankSummary(1, new StepTiming(1, 0.5, 0.5), 0, [])] }));
        _meter.OnNotice(new RunNotice.StepCommitted(Steps.Of(2, 3.5)));
        _meter.OnNotice(new RunNotice.Warned("odd \"kind\"\\\n", 2, "It is odd."));
        _meter.OnNotice(new RunNotice.Evaluated(2, 3.25, 10));
        using var response = await _client.GetAsync("/metrics");
        Assert.Equal("text/plain", response.Content.Headers.ContentType!.MediaType);
        var families = ExpositionFormat.Read(await response.Content.ReadAsStringAsync()).Where(family => family.Name.StartsWith("pipeline_", StringComparison.Ordinal)).ToArray();
        Assert.Empty(families.SelectMany(family => family.Faults()));
        var steps = Assert.Single(families, family => family.Name == "pipeline_steps_total");
        Assert.Equal("counter", steps.Type);
        var duration = Assert.Single(families, family => family.Name == "pipeline_step_duration_seconds");
        Assert.Equal("histogram", duration.Type);
        Assert.Equal(16, duration.Samples.Count(sample => sample.Name.EndsWith("_bucket", StringComparison.Ordinal)) - 1);
        Assert.Subset(Assert.Single(families, family => family.Name == "pipeline_rank_busy_time_seconds_total").Samples.Select(sample => sample.Labels["rank"]).ToHashSet(), new HashSet<string> { "0", "1" });
        Assert.Contains(Assert.Single(families, family => family.Name == "pipeline_warnings_total").Samples, sample => sample.Labels["kind"] == "odd \"kind\"\\\n");
    }

    [Fact]
    public async Task Every_name_in_the_dashboard_that_ships_is_one_that_Prometheus_reads_here()
    {
        foreach (var notice in (RunNotice[])
        [
            new RunNotice.StepCommitted(Steps.Of(1, 3.5)), new RunNotice.Evaluated(1, 3.25, 10), new RunNotice.CheckpointSaved(1, 1, null), new RunNotice.SaveFailed(1, "The disk is full."), new RunNotice.Warned("straggler", 1, "It is slow."),
            new RunNotice.Recovering(new Generation(2), "a node is gone", []), new RunNotice.Recovered(new Generation(2), TimeSpan.Zero, TimeSpan.Zero, TimeSpan.Zero),
        ])
        {
            _meter.OnNotice(notice);
        }

        var exposed = ExpositionFormat.Read(await _client.GetStringAsync("/metrics")).SelectMany(family => family.Samples).Select(sample => sample.Name).ToHashSet();
        using var dashboard = JsonDocument.Parse(await File.ReadAllTextAsync(Path.Combine(RepositoryRoot.Path, "deploy", "grafana", "pipeline.json")));
        var panels = dashboard.RootElement.GetProperty("panels").EnumerateArray().ToArray();
        var named = panels.SelectMany(panel => panel.GetProperty("targets").EnumerateArray()).SelectMany(target => Name().Matches(target.GetProperty("expr").GetString()!)).Select(name => name.Value).Distinct().ToArray();
        Assert.True(named.Length > 8);
        Assert.True(named.All(exposed.Contains), $"{string.Join(", ", named.Except(exposed))} of {string.Join(", ", exposed.Where(name => name.StartsWith("pipeline_", StringComparison.Ordinal)).Order())}");
        Assert.Distinct(panels.Select(panel => panel.GetProperty("id").GetInt32()));
    }

    [Fact]
    public async Task Prometheus_reads_what_was_measured()
    {
        _meter.OnNotice(new RunNotice.StepCommitted(Steps.Of(1, 3.5)));
        var text = await _client.GetStringAsync("/metrics");
        Assert.Contains("pipeline_steps_total", text, StringComparison.Ordinal);
        Assert.Contains("pipeline_step_duration_seconds_bucket", text, StringComparison.Ordinal);
        Assert.Contains("pipeline_loss", text, StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task Promtool_finds_nothing_to_say_about_the_metrics()
    {
        var program = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator).Select(folder => Path.Combine(folder, "promtool")).FirstOrDefault(File.Exists);
        Skip.If(program is null, "No promtool on the path.");
        _meter.OnNotice(new RunNotice.StepCommitted(Steps.Of(1, 3.5)));
        using var check = System.Diagnostics.Process.Start(new System.Diagnostics.ProcessStartInfo(program, ["check", "metrics"]) { UseShellExecute = false, RedirectStandardInput = true, RedirectStandardError = true })!;
        var said = check.StandardError.ReadToEndAsync();
        // .NET's own meters are named by .NET.
        var own = (await _client.GetStringAsync("/metrics")).Split('\n').Where(line => line.Contains("pipeline_", StringComparison.Ordinal));
        await check.StandardInput.WriteAsync(string.Join('\n', own) + "\n");
        check.StandardInput.Close();
        await check.WaitForExitAsync();
        Assert.True(check.ExitCode == 0, await said);
    }

    [Fact]
    public async Task Health_and_readiness_are_told()
    {
        Assert.Equal("ok\n", await _client.GetStringAsync("/healthz"));
        Assert.Equal(HttpStatusCode.OK, (await _client.GetAsync("/readyz")).StatusCode);
        _watch.OnNotice(new RunNotice.Ended(new RunOutcome(RunEnd.Completed, 1)));
        Assert.Equal(HttpStatusCode.ServiceUnavailable, (await _client.GetAsync("/readyz")).StatusCode);
    }

    [Fact]
    public async Task Names_from_outside_reach_no_terminal_as_they_are()
    {
        var answer = (await _client.GetFromJsonAsync<JsonObject>("/api/nodes"))!;
        Assert.DoesNotContain('\u001b', answer["message"]!.GetValue<string>());
    }

    [Theory]
    [InlineData("..")]
    [InlineData("/etc")]
    [InlineData("")]
    public async Task Another_run_is_found_by_its_name_only(string name) =>
        Assert.Equal(HttpStatusCode.NotFound, (await _client.GetAsync("/api/compare?run=" + Uri.EscapeDataString(name))).StatusCode);

    [GeneratedRegex("pipeline_[a-z_]+")]
    private static partial Regex Name();

    private Task<DashboardServer> StartAsync(DashboardOptions options) => DashboardServer.StartAsync(options, () => _desk, TimeProvider.System);

    private async Task<HttpResponseMessage> PostAsync(string line, string? token, string id = "")
    {
        using HttpRequestMessage request = new(HttpMethod.Post, "/api/command") { Content = JsonContent.Create(new JsonObject { ["line"] = line, ["id"] = id }) };
        if (token is not null) request.Headers.Authorization = new("Bearer", token);
        return await _client.SendAsync(request);
    }
}
