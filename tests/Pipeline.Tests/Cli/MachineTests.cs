using Pipeline.Cli;
using Pipeline.Cli.Machine;
using Xunit;

namespace Pipeline.Tests.Cli;

public sealed class MachineTests
{
    [Fact]
    public void The_doctor_of_a_machine_that_passes_these_tests_finds_nothing_lacking()
    {
        using TemporaryFolder folder = new();
        var run = CommandLineRun.Of("doctor", "--set", "data.cache=" + folder.Path, "--set", "run.directory=" + Path.Combine(folder.Path, "runs"));
        Assert.Equal((ExitCode.Done, ""), (run.Code, run.Error));
        foreach (var subject in new[] { "system", "cores", "memory", "cache folder", "run folder", "clock", "torch", "device", "bf16 products", "same bits" })
            Assert.Contains(subject, run.Output, StringComparison.Ordinal);
        Assert.Single(Directory.GetFileSystemEntries(folder.Path));
    }

    [Fact]
    public void The_figures_of_products_are_measured_once_and_then_read()
    {
        using TemporaryFolder folder = new();
        var first = PrecisionProbe.Measure(folder.Path);
        var file = Assert.Single(Directory.GetFiles(folder.Path));
        Assert.Equal(first, PrecisionProbe.Measure(folder.Path));
        File.WriteAllText(file, """{"Fp32GigaFlops":10,"Bf16GigaFlops":40}""");
        Assert.True(PrecisionProbe.Measure(folder.Path).IsBf16Fast);
        File.WriteAllText(file, "{ torn");
        Assert.True(PrecisionProbe.Measure(folder.Path).Fp32GigaFlops > 0);
    }

    [Fact]
    public void Bits_are_the_same_at_every_alignment_and_on_every_thread_here()
    {
        var report = BitProbe.Run();
        Assert.True(report.ComparisonCount > 50);
        Assert.Empty(report.Differences);
    }

    [Fact]
    public void A_folder_that_cannot_be_written_is_lacking_with_a_remedy()
    {
        using TemporaryFolder folder = new();
        var file = folder.File("file", "");
        var finding = FolderChecks.Writable("cache folder", OperatingSystem.IsLinux() ? "/proc/pipeline" : file, "Name another.");
        Assert.Equal((FindingLevel.Lacking, "Name another."), (finding.Level, finding.Remedy));
    }

    [Fact]
    public void A_folder_that_does_not_exist_yet_is_judged_by_the_one_above_and_not_made()
    {
        using TemporaryFolder folder = new();
        Assert.NotEqual(FindingLevel.Lacking, FolderChecks.Writable("run folder", Path.Combine(folder.Path, "a", "b"), "").Level);
        Assert.Empty(Directory.GetFileSystemEntries(folder.Path));
    }

    [Fact]
    public void Tight_limits_are_noticed_with_the_command_that_lifts_them()
    {
        string[] limits = ["Limit                     Soft Limit           Hard Limit           Units", "Max open files            256                  4096                 files", "Max address space         1000000              unlimited            bytes", "Max file size             unlimited            unlimited            bytes"];
        var notices = LimitChecks.Of(limits).Where(finding => finding.Level == FindingLevel.Notice).ToArray();
        Assert.Equal(["open files", "address space"], notices.Select(finding => finding.Subject));
        Assert.Contains("ulimit -n", notices[0].Remedy, StringComparison.Ordinal);
    }

    [Fact]
    public void More_stages_than_cores_are_noticed_with_the_count_that_fits()
    {
        var finding = SystemChecks.Cores(coreCount: 4, stageCount: 3, threadsPerStage: 2);
        Assert.Equal(FindingLevel.Notice, finding.Level);
        Assert.Contains("--stages 2", finding.Remedy, StringComparison.Ordinal);
    }

    [Fact]
    public void The_symbol_decides_whether_the_library_is_new_enough()
    {
        using TemporaryFolder folder = new();
        Assert.True(SystemChecks.HasSymbol(folder.File("new.so", "\0GLIBCXX_3.4.31\0GLIBCXX_3.4.32\0")));
        Assert.False(SystemChecks.HasSymbol(folder.File("old.so", "\0GLIBCXX_3.4.30\0GLIBCXX_3.4.3\0")));
    }
}
