using Pipeline.Model;
using Pipeline.Model.Numerics;
using Pipeline.Model.Training;
using Pipeline.Model.Units;
using Pipeline.Stages;
using Pipeline.Tests.Training;
using Xunit;
using static TorchSharp.torch;

namespace Pipeline.Tests.Model;

/// <summary>The two halves of a split backward, and recomputation, against the whole backward: the same bits.</summary>
[Collection(PipelineCollection.Name)]
public sealed class SplitBackwardTests
{
    private const int Count = 4;

    public static TheoryData<string, Precision> Kinds
    {
        get
        {
            TheoryData<string, Precision> kinds = [];
            foreach (var precision in new[] { Precision.Fp32, Precision.Bf16 })
            {
                foreach (var kind in new[] { "gpt", "gpt-bias-dropout", "llama", "own" }) kinds.Add(kind, precision);
            }

            return kinds;
        }
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void Halves_run_and_leaves_added_later_give_the_bits_of_whole_backwards(string kind, Precision precision)
    {
        var expected = Whole(kind, precision, null);
        // I of all in one order, W in another.
        Assert.Equal(expected, Gradients(kind, precision, (model, batches) =>
        {
            using LeafOrder order = new(Count, (_, _) => { });
            foreach (var index in new[] { 2, 0, 3, 1 })
                order.Defer(index, model.BackwardInput(model.Forward(batches[index], null, PassMode.Train), null).Leaf);
            foreach (var index in new[] { 1, 3, 0, 2 })
            {
                Assert.False(order.TryComplete());
                order.Finish(index);
            }

            Assert.True(order.TryComplete());
            Assert.False(order.TryComplete());
        }));
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void Whole_backwards_in_any_order_wait_for_their_turn_and_for_a_free_gradient(string kind, Precision precision)
    {
        Assert.Equal(Whole(kind, precision, null), Gradients(kind, precision, (model, batches) =>
        {
            using LeafOrder order = new(Count, (_, _) => { });
            order.Begin(isOpen: false);
            foreach (var index in new[] { 0, 3, 1, 2 })
            {
                Assert.Equal(index is 1 or 2, order.IsTurnOf(index));
                order.Take(index, model.BackwardInput(model.Forward(batches[index], null, PassMode.Train), null).Leaf);
                if (index == 3) order.Open();
            }

            Assert.True(order.TryComplete());
        }, waits: true));
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void Units_that_run_forward_again_give_the_bits_of_units_that_keep_their_graph(string kind, Precision precision)
    {
        var expected = Whole(kind, precision, null);
        for (var pattern = 1; pattern < 16; pattern++)
        {
            var count = UnitsOf(kind).Count;
            var drops = Enumerable.Range(0, count).Select(unit => (pattern >> (unit % 4) & 1) == 1 ? Recomputation.Full : Recomputation.Selective).ToArray();
            Assert.Equal(expected, Whole(kind, precision, drops));
        }
    }

    [SkippableTheory]
    [InlineData(Precision.Fp32)]
    [InlineData(Precision.Bf16)]
    public void A_unit_that_recomputes_holds_less_memory_between_forward_and_backward(Precision precision)
    {
        Skip.IfNot(OperatingSystem.IsLinux(), "The allocator's figures are glibc's.");
        var settings = TinyModels.Settings() with { Context = 128, Width = 64 };
        using var model = TinyModels.Whole(settings, precision);
        using var batch = new RandomTokens(settings, 1, 4).Training(1, 0, CPU);
        // The first pass lets everything be loaded.
        HeldAfterForward(Recomputation.None);
        var (none, selective, full) = (HeldAfterForward(Recomputation.None), HeldAfterForward(Recomputation.Selective), HeldAfterForward(Recomputation.Full));
        // 2 layers × 4 samples × 2 heads × 128 × 128 probabilities, at 2 bytes or more.
        Assert.True(full < selective / 2 && selective < none - 500_000, $"none {none}, selective {selective}, full {full}");

        long HeldAfterForward(Recomputation recomputation)
        {
            // What an earlier test left to the collector would go meanwhile.
            LiveTensors.Settle();
            var before = NativeBytes.InUse()!.Value;
            var pass = model.Forward(batch, null, PassMode.Train, recompute: [.. Enumerable.Repeat(recomputation, model.Units.Count)]);
            pass.ReleaseOutput();
            var held = NativeBytes.InUse()!.Value - before;
            model.Recompute(pass);
            model.Backward(pass, null);
            return held;
        }
    }

    [Fact]
    public void A_backward_before_its_recomputation_is_a_broken_invariant()
    {
        using var model = TinyModels.Whole(TinyModels.Settings());
        using var batch = new RandomTokens(TinyModels.Settings(), 1, 2).Training(1, 0, CPU);
        var pass = model.Forward(batch, null, PassMode.Train, recompute: [.. Enumerable.Repeat(Recomputation.Full, model.Units.Count)]);
        Assert.Throws<InvalidOperationException>(() => model.Backward(pass, null));
    }

    [Fact]
    public void Nothing_is_left_alive_of_leaves_that_were_added_or_given_up()
    {
        using var model = TinyModels.Whole(TinyModels.Settings());
        using var batch = new RandomTokens(TinyModels.Settings(), 1, 2).Training(1, 0, CPU);
        var before = LiveTensors.Settle();
        for (var round = 0; round < 3; round++)
        {
            using var added = model.BackwardInput(model.Forward(batch, null, PassMode.Train), null).Leaf;
            added.Add();
            using var givenUp = model.BackwardInput(model.Forward(batch, null, PassMode.Train), null).Leaf;
            givenUp.Compute();
            using var untouched = model.BackwardInput(model.Forward(batch, null, PassMode.Train), null).Leaf;
            model.Forward(batch, null, PassMode.Train, recompute: [.. Enumerable.Repeat(Recomputation.Full, model.Units.Count)]).Dispose();
        }

        Assert.Equal(before, Tensor.TotalCount);
    }

    private static float[][] Whole(string kind, Precision precision, Recomputation[]? recompute) => Gradients(kind, precision, (model, batches) =>
    {
        foreach (var batch in batches)
        {
            var pass = model.Forward(batch, null, PassMode.Train, recompute: recompute);
            var loss = pass.LossSum();
            pass.ReleaseOutput();
            if (recompute is not null) model.Recompute(pass);
            Assert.Equal(loss, pass.LossSum());
            model.Backward(pass, null);
        }
    });

    private static float[][] Gradients(string kind, Precision precision, Action<StageModel, MicroBatch[]> run, bool waits = false)
    {
        using var scope = NewDisposeScope();
        var units = UnitsOf(kind);
        using var model = new StageModel(units, 0, units.Count, new StageOptions(precision, CPU, 3));
        var source = new RandomTokens(Settings(kind), Count, 2);
        var batches = Enumerable.Range(0, Count).Select(index => source.Training(1, index, CPU)).ToArray();
        run(model, batches);
        foreach (var batch in batches) batch.Dispose();
        return [.. model.Units.SelectMany(unit => unit.Parameters).Select(parameter => parameter.Gradient.cpu().flatten().data<float>().ToArray())];
    }

    private static IReadOnlyList<Unit> UnitsOf(string kind)
    {
        var units = DecoderTransformer.Units(Settings(kind));
        return kind == "own" ? [units[0], new TwiceUnit(), .. units.Skip(1)] : units;
    }

    private static ModelSettings Settings(string kind) => kind switch
    {
        "gpt-bias-dropout" => TinyModels.Settings(dropout: 0.2) with { Bias = true },
        "llama" => TinyModels.LlamaSettings(),
        _ => TinyModels.Settings(),
    };

    /// <summary>A user's unit that uses one matrix three times: through the library's product twice, and as an autograd leaf.</summary>
    private sealed class TwiceUnit() : Unit("twice")
    {
        public override IReadOnlyList<ParameterSpec> Parameters { get; } = [new("weight", [32, 32], Initialization.Normal(0.2)), new("gain", [32], Initialization.Ones)];

        public override double Cost => 1;

        public override Tensor Forward(Tensor input, UnitPass pass)
        {
            var first = pass.Linear(input, "weight").relu();
            var second = pass.Linear(first, "weight");
            var gain = pass.Parameter("gain").to_type(second.dtype);
            return second.matmul(pass.Parameter("weight").to_type(second.dtype)).mul(gain).add(first.mul(gain)).add(input);
        }
    }
}
