using Pipeline.Protocol;
using Xunit;

namespace Pipeline.Tests.Protocol;

public sealed class PlatformFingerprintTests
{
    private static readonly PlatformFingerprint Here = ThisPlatform.Fingerprint("TorchSharp 0.107.0");

    [Fact]
    public void A_process_agrees_with_itself() => Assert.Empty(ThisPlatform.Fingerprint("TorchSharp 0.107.0").DifferencesFrom(Here, "node-2"));

    [Fact]
    public void Each_difference_is_one_sentence_that_names_both_sides()
    {
        (PlatformFingerprint Other, string Own, string Leaders)[] cases =
        [
            (Here with { Build = "9.9.9" }, "9.9.9", Here.Build),
            (Here with { Wire = 1 }, "version 1", $"version {Here.Wire}"),
            (Here with { Processor = "Arm64" }, "Arm64", Here.Processor),
            (Here with { Features = [] }, "none", string.Join(" ", Here.Features)),
            (Here with { Runtime = "10.0.99" }, ".NET 10.0.99", $".NET {Here.Runtime}"),
            (Here with { TensorLibrary = "TorchSharp 1.0" }, "TorchSharp 1.0", Here.TensorLibrary),
        ];
        foreach (var (other, own, leaders) in cases)
        {
            var sentence = Assert.Single(other.DifferencesFrom(Here, "node-2"));
            Assert.Contains("node-2", sentence, StringComparison.Ordinal);
            Assert.Contains($"{own} there, {leaders} at the leader", sentence, StringComparison.Ordinal);
        }

        Assert.Equal(2, (Here with { Build = "9", Processor = "x" }).DifferencesFrom(Here, "node-2").Count);
    }
}
