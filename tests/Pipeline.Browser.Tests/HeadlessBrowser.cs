using Microsoft.Playwright;
using Xunit;

namespace Pipeline.Browser.Tests;

/// <summary>
/// A headless Chromium of this machine: named by PIPELINE_CHROMIUM, or found on the path. Nothing is fetched; where there is none the tests
/// are skipped by name. PIPELINE_SCREENSHOTS names a folder for pictures to look at.
/// </summary>
public sealed class HeadlessBrowser : IAsyncLifetime
{
    private static readonly string[] Names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"];
    private IPlaywright? _playwright;
    private IBrowser? _browser;

    /// <summary>Where it is; null for nowhere.</summary>
    internal static string? Path { get; } = Find();

    public async Task InitializeAsync()
    {
        if (Path is null) return;
        _playwright = await Playwright.CreateAsync();
        // Root has no sandbox of its own kind.
        string[] sandbox = Environment.UserName == "root" ? ["--no-sandbox"] : [];
        _browser = await _playwright.Chromium.LaunchAsync(new() { ExecutablePath = Path, Args = [.. sandbox, $"--host-resolver-rules=MAP {HostOf("*")} 127.0.0.1"] });
    }

    public async Task DisposeAsync()
    {
        if (_browser is not null) await _browser.DisposeAsync();
        _playwright?.Dispose();
    }

    /// <summary>Opens a page at an address. The test is skipped where there is no browser.</summary>
    internal async Task<WatchedPage> OpenAsync(Uri address, int width = 1280, int height = 900, bool isDark = false)
    {
        Skip.If(_browser is null, "No Chromium on the path, and PIPELINE_CHROMIUM names none.");
        var context = await _browser.NewContextAsync(new() { ViewportSize = new() { Width = width, Height = height }, ColorScheme = isDark ? ColorScheme.Dark : ColorScheme.Light });
        var page = await context.NewPageAsync();
        WatchedPage watched = new(context, page);
        await page.GotoAsync(address.ToString());
        return watched;
    }

    /// <summary>A machine's name that this browser takes for loopback's: no other program does.</summary>
    internal static string HostOf(string name) => name + ".cluster.test";

    private static string? Find()
    {
        if (Environment.GetEnvironmentVariable("PIPELINE_CHROMIUM") is { Length: > 0 } named) return named;
        var folders = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(System.IO.Path.PathSeparator);
        return folders.SelectMany(folder => Names.Select(name => System.IO.Path.Combine(folder, name))).FirstOrDefault(File.Exists);
    }
}

/// <summary>A page, and what its console has complained of. Owns its context.</summary>
internal sealed class WatchedPage : IAsyncDisposable
{
    // A browser beside busy tests.
    private const float Patience = 120_000;
    private readonly IBrowserContext _context;
    private readonly List<string> _errors = [];

    internal WatchedPage(IBrowserContext context, IPage page)
    {
        (_context, Page) = (context, page);
        page.SetDefaultTimeout(Patience);
        page.Console += (_, message) =>
        {
            if (message.Type is "error" or "warning") _errors.Add(message.Text);
        };
        page.PageError += (_, error) => _errors.Add(error);
    }

    internal IPage Page { get; }

    /// <summary>Everything that the console has said, warnings too.</summary>
    internal IReadOnlyList<string> Errors => [.. _errors];

    /// <summary>Waits until an expression over the page is true.</summary>
    internal Task UntilAsync(string expression) => Page.WaitForFunctionAsync("() => " + expression, null, new() { Timeout = Patience });

    /// <summary>The step that the page shows.</summary>
    internal Task<int> StepAsync() => Page.EvaluateAsync<int>("() => parseInt(document.getElementById('f-step').textContent.replaceAll(',', '')) || 0");

    /// <summary>Waits until the page shows a later step.</summary>
    internal Task AfterStepAsync(int step) => UntilAsync(FormattableString.Invariant($"(parseInt(document.getElementById('f-step').textContent.replaceAll(',', '')) || 0) > {step}"));

    /// <summary>Waits until an element's text holds something.</summary>
    internal Task TextAsync(string id, string part) => UntilAsync($"document.getElementById('{id}').textContent.includes('{part}')");

    /// <summary>Types a command and waits for what it answers.</summary>
    internal async Task CommandAsync(string line, string answer)
    {
        await Page.FillAsync("#line", line);
        await Page.PressAsync("#line", "Enter");
        await TextAsync("output", answer);
    }

    /// <summary>A picture, where somebody wants to look at it.</summary>
    internal async Task PictureAsync(string name)
    {
        if (Environment.GetEnvironmentVariable("PIPELINE_SCREENSHOTS") is { Length: > 0 } folder) await Page.ScreenshotAsync(new() { Path = System.IO.Path.Combine(folder, name + ".png"), FullPage = true });
    }

    public async ValueTask DisposeAsync() => await _context.DisposeAsync();
}
