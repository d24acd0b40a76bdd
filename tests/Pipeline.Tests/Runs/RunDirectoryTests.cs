using System.Text.Json;
using Pipeline.Runs;
using Xunit;

namespace Pipeline.Tests.Runs;

public sealed class RunDirectoryTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Numbered_runs_take_the_first_free_number_of_the_day()
    {
        for (var number = 1; number <= 3; number++)
        {
            using var run = RunDirectory.CreateNumbered(_folder.In("runs"), "gpt/micro", new FixedTime());
            Assert.Equal(_folder.In($"runs/2026-01-31-gpt-micro-00{number}"), run.Folder);
        }
    }

    [Fact]
    public void Programs_that_start_together_get_folders_of_their_own()
    {
        var runs = new RunDirectory[24];
        Parallel.For(0, runs.Length, new ParallelOptions { MaxDegreeOfParallelism = 12 }, index => runs[index] = RunDirectory.CreateNumbered(_folder.In("runs"), "nano", new FixedTime()));
        Assert.Equal(runs.Length, runs.Select(run => run.Folder).Distinct(StringComparer.Ordinal).Count());
        foreach (var run in runs)
            run.Dispose();
    }

    [Theory]
    [InlineData("config.conf")]
    [InlineData("metrics.jsonl")]
    public void A_folder_that_holds_a_run_is_refused_for_a_new_one(string file)
    {
        File.WriteAllText(_folder.In(file), "");
        var exception = Assert.Throws<RunException>(() => RunDirectory.Create(_folder.Folder));
        Assert.Contains("already holds a run. Resume it with --resume", exception.Message, StringComparison.Ordinal);
        Assert.Single(Directory.EnumerateFileSystemEntries(_folder.Folder));
    }

    [Fact]
    public void A_start_that_failed_before_the_run_began_does_not_spoil_the_folder()
    {
        RunDirectory.Create(_folder.In("a")).Dispose();
        RunDirectory.Create(_folder.In("a")).Dispose();
        Assert.Throws<RunException>(() => RunDirectory.OpenForResume(_folder.In("a")));
    }

    [Fact]
    public void A_run_in_use_is_refused_with_the_name_of_the_process()
    {
        using var first = RunDirectory.Create(_folder.In("a"));
        File.WriteAllText(first.Files.Configuration, "");
        var exception = Assert.Throws<RunException>(() => RunDirectory.OpenForResume(first.Folder));
        Assert.Contains($"in use by process {Environment.ProcessId}", exception.Message, StringComparison.Ordinal);
        first.Dispose();
        RunDirectory.OpenForResume(first.Folder).Dispose();
    }

    [Fact]
    public void An_empty_folder_in_use_is_refused_for_a_new_run()
    {
        using var first = RunDirectory.Create(_folder.In("a"));
        Assert.Contains("in use", Assert.Throws<RunException>(() => RunDirectory.Create(first.Folder)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void What_a_dead_process_left_is_no_obstacle()
    {
        using (var run = RunDirectory.Create(_folder.In("a")))
        {
            File.WriteAllText(run.Files.Configuration, "");
            File.Copy(run.Files.Owner, _folder.In("owner"));
        }

        var files = new RunFiles(_folder.In("a"));
        var owner = JsonSerializer.Deserialize(File.ReadAllBytes(_folder.In("owner")), RunJson.Default.RunOwner)!;
        foreach (var left in new[] { JsonSerializer.Serialize(owner with { ProcessId = int.MaxValue }, RunJson.Default.RunOwner), JsonSerializer.Serialize(owner with { ProcessId = 1, ProcessStart = DateTimeOffset.UnixEpoch }, RunJson.Default.RunOwner), "{\"torn", "null" })
        {
            File.WriteAllText(files.Owner, left);
            File.WriteAllText(files.Lock, left);
            RunDirectory.OpenForResume(files.Folder).Dispose();
        }
    }

    [Fact]
    public void An_owner_is_told_from_a_later_process_with_the_same_id()
    {
        var owner = RunOwner.Current();
        Assert.True(owner.IsAlive());
        Assert.False((owner with { ProcessStart = owner.ProcessStart.AddMinutes(-1) }).IsAlive());
        Assert.False((owner with { Host = "elsewhere" }).IsAlive());
    }

    [Fact]
    public void Resuming_from_nowhere_is_refused()
    {
        Assert.Contains("no folder", Assert.Throws<RunException>(() => RunDirectory.OpenForResume(_folder.In("nowhere"))).Message, StringComparison.Ordinal);
        Assert.Contains("holds no run", Assert.Throws<RunException>(() => RunDirectory.OpenForResume(_folder.Folder)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_folder_that_cannot_be_made_is_an_error_with_a_remedy()
    {
        File.WriteAllText(_folder.In("file"), "");
        foreach (var start in new Action[] { () => RunDirectory.Create(_folder.In("file/run")), () => RunDirectory.Create(_folder.In("file")), () => RunDirectory.CreateNumbered(_folder.In("file"), "nano", new FixedTime()) })
            Assert.Contains("another folder with --run", Assert.Throws<RunException>(start).Message, StringComparison.Ordinal);
    }

    [SkippableFact]
    public void A_read_only_folder_is_an_error_with_a_remedy()
    {
        Skip.If(Environment.IsPrivilegedProcess, "Permissions do not bind this user.");
        if (OperatingSystem.IsWindows())
            return; // such a folder is made otherwise there
        File.SetUnixFileMode(_folder.Folder, UnixFileMode.UserRead | UnixFileMode.UserExecute);
        Assert.Contains("another folder with --run", Assert.Throws<RunException>(() => RunDirectory.Create(_folder.Folder)).Message, StringComparison.Ordinal);
        File.SetUnixFileMode(_folder.Folder, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
    }

    [Fact]
    public void The_endpoint_is_there_for_its_user_only_and_only_while_the_run_lasts()
    {
        var endpoint = new EndpointFile("127.0.0.1:4711", "/run/token", 42, new FixedTime().GetUtcNow());
        using (var run = RunDirectory.Create(_folder.In("a")))
        {
            endpoint.Write(run.Files.Endpoint);
            Assert.Equal(endpoint, EndpointFile.Read(run.Files.Endpoint));
            if (!OperatingSystem.IsWindows())
                Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(run.Files.Endpoint));
        }

        Assert.Null(EndpointFile.Read(_folder.In("a/endpoint.json")));
        // One that was read just before its program ended has a token that is there no more.
        Assert.Null((endpoint with { TokenPath = _folder.In("a/endpoint.token") }).ReadToken());
        File.WriteAllText(_folder.In("token"), "abc\n");
        Assert.Equal("abc", (endpoint with { TokenPath = _folder.In("token") }).ReadToken());
        File.WriteAllText(_folder.In("a/endpoint.json"), "{\"address\":null}");
        Assert.Throws<RunException>(() => EndpointFile.Read(_folder.In("a/endpoint.json")));
    }

    [Fact]
    public void A_file_replaced_whole_keeps_its_former_content_when_writing_fails()
    {
        AtomicFile.WriteText(_folder.In("a"), "first");
        Assert.Throws<RunException>(() => AtomicFile.Write(_folder.In("a"), stream =>
        {
            stream.WriteByte(1);
            throw new IOException("No space left on device");
        }));
        Assert.Equal("first", File.ReadAllText(_folder.In("a")));
        AtomicFile.WriteText(_folder.In("a"), "second");
        Assert.Equal("second", File.ReadAllText(_folder.In("a")));
    }
}
