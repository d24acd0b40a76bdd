using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using Pipeline.Bench.Workloads;
using Pipeline.Model;
using Pipeline.Model.Numerics;
using Pipeline.Model.Training;
using Pipeline.Model.Units;
using Pipeline.Protocol;
using Pipeline.Protocol.Frames;
using Pipeline.Reduction.Topologies;
using Pipeline.Stages;
using static TorchSharp.torch;

namespace Pipeline.Bench.Measures.Replicas;

/// <summary>
/// One of two processes that hold the same model and add their gradients up: the reduction of a run, without coordinator and actors. Both
/// processes begin each round together. Owns everything it makes.
/// </summary>
internal sealed class ReplicaSide : IDisposable
{
    private const string Here = "here";
    private readonly ReplicaSpec _spec;
    private readonly StageInbox _inbox = new();
    private readonly HubLinks _links;
    private readonly StageModel _model;
    private readonly ResidualStore _residuals = new();
    private readonly StageReduction _reduction;
    private readonly RandomTokens _batches;
    private readonly int _first;
    private readonly int _self;
    private Tensor? _bytes;

    internal ReplicaSide(int self, ReplicaSpec spec)
    {
        TorchRuntime.UseThreads(1);
        (_spec, _self) = (spec, self);
        _first = self * spec.MicroBatchCount;
        _links = new HubLinks(self, _inbox, spec);
        var settings = spec.Model;
        var units = DecoderTransformer.Units(settings);
        _model = new StageModel(units, 0, units.Count, new StageOptions(Precision.Fp32, CPU, 1));
        _batches = new RandomTokens(settings, 2 * spec.MicroBatchCount, spec.SampleCount);
        var place = new ReplicaPlace(self, LeafShare.Even(2 * spec.MicroBatchCount, 2), Summation.Fast);
        _reduction = new StageReduction(_model, place, spec.Reduction, new ReplicaLinks(_links, _inbox, new StepRecorder(new FlightRecorder()), (replica, _) => replica), null, _residuals);
    }

    /// <summary>Where the other process reaches this one.</summary>
    internal string Address => _links.Address;

    /// <summary>Bytes of the gradient.</summary>
    internal long GradientBytes => _model.Units.Sum(unit => unit.Gradient.numel()) * sizeof(float);

    internal void Connect(string address) => _links.Connect(address);

    /// <summary>Runs all rounds.</summary>
    /// <param name="meet">Says a line to the other process and returns its line, when it has come to the same place.</param>
    internal ReplicaResult Run(Func<string, string> meet)
    {
        List<RoundTimes> rounds = [];
        var (sent, former) = (0L, default(SentTensors));
        for (var round = 1; round <= _spec.RoundCount + _spec.WarmUpCount; round++)
        {
            if (!_spec.Trains) Fill(round);
            if (round == _spec.WarmUpCount + 1) (sent, former) = (_links.SentBytes, _links.Tensors);
            meet(Here);
            if (round % _spec.Every != 0) continue;
            var times = default(RoundTimes);
            var elapsed = Elapsed.Of(() => times = Round(round, meet));
            // Both read the same clock.
            var other = long.Parse(meet(times.Computed.ToString(CultureInfo.InvariantCulture)), CultureInfo.InvariantCulture);
            if (round > _spec.WarmUpCount) rounds.Add(times with { OtherComputed = other, ProcessorSeconds = elapsed.CpuSeconds });
        }

        meet(Here);
        return new ReplicaResult(Median(times => times.Seconds), Median(times => times.Exposed), (_links.SentBytes - sent) / _spec.RoundCount, GradientBytes, Median(times => times.Window))
        {
            Waited = Median(times => times.Waited),
            ProcessorSeconds = rounds.Average(times => times.ProcessorSeconds),
            Tensors = new SentTensors((_links.Tensors.Contributions - former.Contributions) / _spec.RoundCount, (_links.Tensors.Answers - former.Answers) / _spec.RoundCount),
        };

        double Median(Func<RoundTimes, double> of) => Distribution.Median(rounds.Select(of));
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _bytes?.Dispose();
        _reduction.Dispose();
        _residuals.Dispose();
        _model.Dispose();
        _links.Dispose();
    }

    private RoundTimes Round(long step, Func<string, string> meet)
    {
        var key = new StepKey(HubLinks.Run, Generation.None, 0, step);
        var began = Stopwatch.GetTimestamp();
        if (_spec.Way == ReplicaWay.FramesAlone)
        {
            ExchangeFrames(key);
            return new RoundTimes(began, began, Stopwatch.GetTimestamp(), Stopwatch.GetTimestamp(), 0);
        }

        _links.Forget(step - 2);
        var window = _spec.Trains ? Train(step, key) : 0;
        var computed = Stopwatch.GetTimestamp();
        if (_spec.Meets) meet(Here);
        _reduction.Contribute(key);
        _reduction.Reduce(key);
        _reduction.Finish(key);
        var reduced = Stopwatch.GetTimestamp();
        _inbox.FinishPhase(StageInbox.StepPhase(step));
        if (_spec.Trains) _model.OptimizerStep(step, BenchModels.Optimizer, BenchModels.Optimizer.UnclippedFactor(_batches.TokensPerStep));
        return new RoundTimes(began, computed, reduced, Stopwatch.GetTimestamp(), window);
    }

    /// <summary>Sends as much as a gradient has in frames of a reduction's size, from memory as large, and takes as much.</summary>
    private void ExchangeFrames(StepKey key)
    {
        var count = (int)Math.Max(1, GradientBytes / (_spec.PieceLength * sizeof(float)));
        _bytes ??= FilledBytes(count);
        for (var index = 0; index < count; index++) _links.Send(1 - _self, Key(_self, index), _bytes.narrow(0, index * _spec.PieceLength, _spec.PieceLength).DetachFromDisposeScope(), AlreadyDone.Instance);
        for (var index = 0; index < count; index++) _inbox.TakeTensor(Key(1 - _self, index)).Value.Take(CPU).Dispose();
        _inbox.FinishPhase(StageInbox.StepPhase(key.Step));

        Tensor FilledBytes(int frameCount)
        {
            var bytes = empty(frameCount * _spec.PieceLength, ScalarType.Float32, CPU).DetachFromDisposeScope();
            new Random(_self).NextBytes(bytes.bytes);
            return bytes;
        }

        FrameKey Key(int from, int index) => new(key, 0, from, index, FrameKind.GradientContribution);
    }

    /// <summary>Computes the gradients; how long the last micro-batch's backward took, in which they become final.</summary>
    private double Train(long step, StepKey key)
    {
        var window = 0.0;
        for (var index = 0; index < _spec.MicroBatchCount; index++)
        {
            using var microBatch = _batches.Training(step, _first + index, CPU);
            var isLast = index == _spec.MicroBatchCount - 1;
            var pass = _model.Forward(microBatch, null, PassMode.Train);
            var start = Stopwatch.GetTimestamp();
            _model.Backward(pass, null, units =>
            {
                _reduction.UnitsFinished(_first + index, units, isLast, key);
                if (isLast) _reduction.Proceed(key);
            });
            window = Stopwatch.GetElapsedTime(start).TotalSeconds;
        }

        return window;
    }

    /// <summary>Numbers as gradients have them, other ones each round: what is all zeros compresses too fast.</summary>
    private void Fill(int round)
    {
        foreach (var unit in _model.Units)
        {
            var random = new Random(round * 1000 + unit.Index + _first);
            foreach (ref var value in MemoryMarshal.Cast<byte, float>(unit.Gradient.bytes)) value = random.NextSingle() - 0.5f;
        }
    }
}
