using Pipeline.Model;
using Pipeline.Model.Training;
using Pipeline.Model.Units;
using Xunit;
using static TorchSharp.torch;

namespace Pipeline.Tests.Model;

public sealed class GradientTests
{
    // Central differences at h = 1e-5 in fp64: truncation of order h², cancellation of order 1e-16 / h on losses of order 100.
    private const double Difference = 1e-5;
    private const double Tolerance = 2e-6;

    public static TheoryData<string> Kinds => ["gpt", "gpt-untied", "gpt-bias-dropout", "llama", "gpt-cut-head"];

    [Theory]
    [MemberData(nameof(Kinds))]
    public void Gradient_equals_central_differences_in_fp64(string kind)
    {
        var settings = Settings(kind) with { Width = 16, Context = 5, Vocabulary = 11, MlpRatio = 2 };
        using var model = TinyModels.Whole(settings, Precision.Fp64);
        using var batch = new RandomTokens(settings, 1, 2).Training(1, 0, CPU);
        model.Backward(model.Forward(batch, null, PassMode.Train), null);
        foreach (var parameter in model.Units.SelectMany(unit => unit.Parameters))
        {
            foreach (var element in new[] { 0L, parameter.Spec.ElementCount / 2, parameter.Spec.ElementCount - 1 })
            {
                var expected = CentralDifference(model, batch, parameter, element);
                var found = At(parameter.Gradient, element);
                Assert.True(Math.Abs(expected - found) <= Tolerance * Math.Max(1, Math.Abs(expected)),
                    $"{parameter.FullName}[{element}]: differences give {expected}, backward {found}");
            }
        }
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void Training_lowers_the_loss_of_a_repeated_batch(string kind)
    {
        var settings = Settings(kind);
        using var model = TinyModels.Whole(settings);
        var trainer = new ReferenceTrainer(model, new Repeated(new RandomTokens(settings, 2, 2)), TinyModels.Optimizer with { Horizon = 60 });
        var first = trainer.Step(1).Loss;
        var last = first;
        for (var step = 2; step <= 30; step++) last = trainer.Step(step).Loss;
        Assert.True(last < 0.6 * first, $"loss went from {first} to {last}");
    }

    private static ModelSettings Settings(string kind) => kind switch
    {
        "gpt" => TinyModels.Settings(),
        "gpt-untied" => TinyModels.Settings(tied: false),
        "gpt-cut-head" => TinyModels.Settings(tied: false) with { HeadSlices = 3 },
        "gpt-bias-dropout" => TinyModels.Settings(dropout: 0.2) with { Bias = true },
        _ => TinyModels.LlamaSettings(),
    };

    private static double CentralDifference(StageModel model, MicroBatch batch, ParameterState parameter, long element)
    {
        var up = LossWith(model, batch, parameter, element, Difference);
        var down = LossWith(model, batch, parameter, element, -Difference);
        return (up - down) / (2 * Difference);
    }

    // The dropout mask is keyed by position, so training-mode losses are comparable.
    private static double LossWith(StageModel model, MicroBatch batch, ParameterState parameter, long element, double change)
    {
        using var flat = parameter.Master.view(-1);
        using var place = flat.narrow(0, element, 1);
        using (no_grad()) place.add_(change);
        using var pass = model.Forward(batch, null, PassMode.Train);
        using (no_grad()) place.add_(-change);
        return pass.LossSum();
    }

    private static double At(Tensor tensor, long element)
    {
        using var flat = tensor.view(-1);
        return flat[element].item<double>();
    }

    private sealed class Repeated(IBatchSource source) : IBatchSource
    {
        public int MicroBatchCount => source.MicroBatchCount;

        public MicroBatch Training(long step, int index, Device device) => source.Training(1, index, device);

        public MicroBatch? Validation(int index, Device device) => source.Validation(index, device);
    }
}
