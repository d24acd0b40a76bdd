using Pipeline.Model.Units;
using Xunit;
using static TorchSharp.torch;

namespace Pipeline.Tests.Model;

/// <summary>What a function's backward throws reaches the caller, wherever the function stands in the graph.</summary>
public sealed class BackwardFaultTests
{
    [Fact]
    public void A_fault_in_the_last_function_passes_through_those_before_it()
    {
        var settings = TinyModels.Settings(tied: false);
        using var model = TinyModels.Whole(settings);
        var batches = new RandomTokens(settings, 1, 2);
        using var batch = batches.Training(1, 0, CPU);
        using var pass = model.Forward(batch, null, PassMode.Train);
        // The head's gradient is gone: its function fails first, and all others get nothing to work with.
        model.Units[^1].Parameters.Single(parameter => parameter.Spec.Name == "output.weight").Gradient.Dispose();
        var fault = Assert.Throws<InvalidOperationException>(() => model.Backward(pass, null));
        Assert.StartsWith("Backward failed: ", fault.Message, StringComparison.Ordinal);
    }
}
