using Pipeline.Protocol;
using Xunit;

namespace Pipeline.Tests.Protocol;

public sealed class PlatformFingerprintTests
{
    private static readonly PlatformFingerprint Here = ThisPlatform.Fingerprint("TorchSharp 0.107.0");

    [Fact]
    public void A_process_agrees_with_itself()
    {
        Assert.Empty(Speech(ThisPlatform.Fingerprint("TorchSharp 0.107.0")));
        Assert.Empty(Bits(ThisPlatform.Fingerprint("TorchSharp 0.107.0")));
    }

    [Fact]
    public void Each_difference_in_speech_is_one_sentence_that_names_both_sides()
    {
        AssertNames(Speech(Here with { Build = "9.9.9" }), "9.9.9", Here.Build);
        AssertNames(Speech(Here with { Wire = 1 }), "version 1", $"version {Here.Wire}");
        Assert.Equal(2, Speech(Here with { Build = "9", Wire = Here.Wire + 1 }).Count);
        Assert.Empty(Speech(Here with { Processor = "Arm64", Features = [], Runtime = "10.0.99", TensorLibrary = "TorchSharp 1.0" }));
    }

    [Fact]
    public void Each_difference_that_bits_may_depend_on_is_one_sentence_that_names_both_sides()
    {
        AssertNames(Bits(Here with { Processor = "Arm64" }), "Arm64", Here.Processor);
        AssertNames(Bits(Here with { Features = [] }), "none", string.Join(" ", Here.Features));
        AssertNames(Bits(Here with { Runtime = "10.0.99" }), ".NET 10.0.99", $".NET {Here.Runtime}");
        AssertNames(Bits(Here with { TensorLibrary = "TorchSharp 1.0" }), "TorchSharp 1.0", Here.TensorLibrary);
        Assert.Equal(2, Bits(Here with { Features = [], Processor = "x" }).Count);
    }

    private static IReadOnlyList<string> Speech(PlatformFingerprint other) => other.SpeechDifferences(Here, "node-2", "the leader");

    private static IReadOnlyList<string> Bits(PlatformFingerprint other) => other.BitDifferences(Here, "node-2", "the leader");

    private static void AssertNames(IReadOnlyList<string> sentences, string own, string others)
    {
        var sentence = Assert.Single(sentences);
        Assert.Contains("node-2", sentence, StringComparison.Ordinal);
        Assert.Contains($"{own} there, {others} at the leader", sentence, StringComparison.Ordinal);
    }
}
