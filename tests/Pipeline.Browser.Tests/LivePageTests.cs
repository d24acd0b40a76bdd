using System.Runtime.Versioning;
using Pipeline.Chaos;
using Pipeline.Runs;
using Xunit;

namespace Pipeline.Browser.Tests;

/// <summary>The web page of real runs in a real browser.</summary>
[SupportedOSPlatform("linux")]
public sealed class LivePageTests(TinyTraining tiny, HeadlessBrowser browser) : IClassFixture<TinyTraining>, IClassFixture<HeadlessBrowser>
{
    [SkippableFact]
    public async Task The_page_shows_a_run_that_is_under_way_with_all_its_pages_and_no_complaint_in_its_console()
    {
        Skip.If(HeadlessBrowser.Path is null, "No Chromium on the path, and PIPELINE_CHROMIUM names none.");
        using var train = ProgramRun.Start(tiny.Arguments("shown", 1_000_000, "--stages", "3", "--set", "run.digest-every=0"));
        var status = await tiny.StatusAsync("shown", status => status.Step > 30);
        // The console's commands need the token, also those that only ask.
        var token = (await File.ReadAllTextAsync(new RunFiles(tiny.In("shown")).EndpointToken)).Trim();
        await using var page = await browser.OpenAsync(new Uri(AddressOf("shown"), "#token=" + token));
        await page.TextAsync("phase", "running");
        await page.AfterStepAsync((int)status.Step);
        var first = await page.StepAsync();
        // What comes now comes by the stream: the page asks for points only once.
        await page.AfterStepAsync(first + 20);
        Assert.Equal(5, await page.Page.Locator("#charts canvas").CountAsync());

        await page.Page.FocusAsync("#tab-run");
        await page.Page.Keyboard.PressAsync("ArrowRight");
        await page.TextAsync("t-times", "the schedule alone");
        await page.TextAsync("explain", "step");
        await page.Page.Locator("#stages tr").Nth(3).WaitForAsync();
        Assert.Equal(4, await page.Page.Locator("#stages tr").CountAsync());
        await page.PictureAsync("pipeline");

        await page.Page.Keyboard.PressAsync("ArrowRight");
        await page.TextAsync("nodes", "local");
        await page.TextAsync("links", "by reference");
        await page.Page.Keyboard.PressAsync("ArrowRight");
        await page.CommandAsync("status", "generation  1");
        await page.CommandAsync("timeline", "simulated");
        Assert.Empty(page.Errors);
    }

    [SkippableFact]
    public async Task A_change_is_refused_without_the_token_and_one_that_could_do_harm_asks_with_it()
    {
        Skip.If(HeadlessBrowser.Path is null, "No Chromium on the path, and PIPELINE_CHROMIUM names none.");
        using var train = ProgramRun.Start(tiny.Arguments("changed", 1_000_000, "--stages", "2"));
        await tiny.StatusAsync("changed", status => status.Step > 0);
        var files = new RunFiles(tiny.In("changed"));
        await using (var page = await browser.OpenAsync(AddressOf("changed")))
        {
            await page.Page.ClickAsync("#tab-console");
            await page.CommandAsync("pause", "The token is missing or not that of this run");
            Assert.Equal("running", (await tiny.StatusAsync("changed", _ => true)).Phase);
            await page.Page.FillAsync("#token", "0000");
            await page.CommandAsync("checkpoint now", "The token is missing or not that of this run");
            Assert.Contains("command-refused", await File.ReadAllTextAsync(files.Events), StringComparison.Ordinal);
        }

        // The token comes behind the hash, and is gone from the address.
        var token = (await File.ReadAllTextAsync(files.EndpointToken)).Trim();
        await using var allowed = await browser.OpenAsync(new Uri(AddressOf("changed"), "#token=" + token));
        Assert.DoesNotContain(token, allowed.Page.Url, StringComparison.Ordinal);
        await allowed.Page.ClickAsync("#tab-console");
        await allowed.CommandAsync("pau", "There is no command");
        await allowed.Page.FillAsync("#line", "pau");
        await allowed.Page.PressAsync("#line", "Tab");
        await allowed.UntilAsync("document.getElementById('line').value === 'pause '");
        await allowed.Page.PressAsync("#line", "Enter");
        await allowed.TextAsync("phase", "paus");
        await allowed.CommandAsync("resume", "The run goes on after step");
        await allowed.CommandAsync("stop", "go on (y/n)?");
        await allowed.Page.ClickAsync("#no");
        await allowed.TextAsync("output", "Nothing was done.");
        await allowed.PictureAsync("console");
        await allowed.CommandAsync("stop", "go on (y/n)?");
        await allowed.Page.ClickAsync("#yes");
        await allowed.TextAsync("output", "The run stops after the step under way");
        Assert.Equal(0, await train.EndAsync());
        await allowed.UntilAsync("['ended', 'no answer', 'ending', 'stopping'].includes(document.getElementById('phase').textContent)");
    }

    [SkippableFact]
    public async Task The_page_finds_the_next_leader_by_itself_and_goes_on()
    {
        Skip.If(HeadlessBrowser.Path is null, "No Chromium on the path, and PIPELINE_CHROMIUM names none.");
        using var train = ProgramRun.Start(tiny.Arguments("led", 1_000_000, "--stages", "2", "--processes", "4", "--set", "link.kind=unix"));
        var status = await tiny.StatusAsync("led", status => status.Step > 5);
        var address = AddressOf("led");
        await using var page = await browser.OpenAsync(address);
        await page.AfterStepAsync((int)status.Step);
        await page.Page.ClickAsync("#tab-cluster");
        await page.TextAsync("links", "MiB/s");
        await page.PictureAsync("cluster");
        Assert.Empty(page.Errors);

        Signals.Send(status.Nodes.Single(node => node.Coordinates).Pid, Signal.Kill);
        await page.TextAsync("phase", "no answer");
        var later = await tiny.StatusAsync("led", now => now.Generation > status.Generation && now.Phase == "running" && now.Step > status.Step);
        await page.TextAsync("phase", "running");
        Assert.Equal(address, AddressOf("led"));
        await page.AfterStepAsync((int)later.Step);
        await page.TextAsync("happenings", "recovering");
        await page.Page.ClickAsync("#tab-run");
        await page.PictureAsync("run-after-fail-over");
        // A connection that is refused is said by the browser itself; the page has nothing else to complain of.
        Assert.All(page.Errors, error => Assert.Contains("Failed to load resource", error, StringComparison.Ordinal));
    }

    private Uri AddressOf(string run) => new(EndpointFile.Read(new RunFiles(tiny.In(run)).Endpoint)?.Dashboard ?? throw new InvalidOperationException($"{run} has no web page."));
}
