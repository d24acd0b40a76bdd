using System.Net.Http.Json;
using System.Text.Json.Nodes;
using Pipeline.Coordinator;

namespace Pipeline.Operator;

/// <summary>Watches a run beside it: reads its signs, has them written to its events, and tells a webhook. It never holds the run up.</summary>
public sealed class Watchdog : IAsyncDisposable
{
    private static readonly TimeSpan LookEvery = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan HookPatience = TimeSpan.FromSeconds(10);
    private readonly Func<CommandDesk> _desk;
    private readonly WatchdogSettings _settings;
    private readonly RunSigns _signs;
    private readonly TimeProvider _time;
    private readonly long _start;
    private readonly CancellationTokenSource _stop = new();
    private readonly HttpClient? _hook;
    private readonly Task _watching;

    /// <summary>Begins to watch.</summary>
    /// <param name="desk">The run; it may change while the watchdog lives, its watch may not.</param>
    /// <param name="settings">From when on to speak.</param>
    /// <param name="time">Clock.</param>
    public Watchdog(Func<CommandDesk> desk, WatchdogSettings settings, TimeProvider time)
    {
        (_desk, _settings, _time, _start) = (desk, settings, time, time.GetTimestamp());
        _signs = new RunSigns(settings);
        _hook = settings.Webhook is null ? null : new HttpClient { Timeout = HookPatience };
        // From here on nothing is missed.
        var listening = desk().Watch.Listen();
        _watching = Task.Run(() => WatchAsync(listening));
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync().ConfigureAwait(false);
        await _watching.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _hook?.Dispose();
        _stop.Dispose();
    }

    private async Task WatchAsync(RunWatch.Listening heard)
    {
        using var listening = heard;
        using PeriodicTimer timer = new(LookEvery, _time);
        var tick = timer.WaitForNextTickAsync(_stop.Token).AsTask();
        while (!_stop.IsCancellationRequested)
        {
            var next = listening.Reader.WaitToReadAsync(_stop.Token).AsTask();
            await Task.WhenAny(next, tick).ConfigureAwait(false);
            while (listening.Reader.TryRead(out var notice))
            {
                // What is recorded comes back as a notice; so does what the run says of itself.
                if (notice is RunNotice.Warned warned) await HookAsync(warned).ConfigureAwait(false);
                else await TellAsync(_signs.Read(notice, Now)).ConfigureAwait(false);
            }

            if (!tick.IsCompleted) continue;
            await TellAsync(_signs.Look(Now, FreeBytes())).ConfigureAwait(false);
            tick = timer.WaitForNextTickAsync(_stop.Token).AsTask();
        }
    }

    private TimeSpan Now => _time.GetElapsedTime(_start);

    private async Task TellAsync(IReadOnlyList<RunNotice.Warned> signs)
    {
        foreach (var sign in signs)
        {
            var run = _desk().Run;
            run.Record(sign);
            if (!run.IsRecorded) await HookAsync(sign).ConfigureAwait(false);
        }
    }

    private async Task HookAsync(RunNotice.Warned sign)
    {
        if (_hook is null) return;
        try
        {
            JsonObject body = new() { ["event"] = sign.Kind, ["step"] = sign.Step, ["message"] = sign.Message, ["run"] = _desk().Run.Files.Folder };
            using var answer = await _hook.PostAsJsonAsync(_settings.Webhook, body, _stop.Token).ConfigureAwait(false);
        }
        catch (Exception deaf) when (deaf is HttpRequestException or TaskCanceledException)
        {
            // The event is in the run's log; a webhook that does not hear must not hold the watch up.
        }
    }

    private long? FreeBytes()
    {
        try
        {
            return new DriveInfo(Path.GetFullPath(_desk().Run.Files.Folder)).AvailableFreeSpace;
        }
        catch (Exception unknown) when (unknown is IOException or UnauthorizedAccessException or ArgumentException)
        {
            return null;
        }
    }
}
