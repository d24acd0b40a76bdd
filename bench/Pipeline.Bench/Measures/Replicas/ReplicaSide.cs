using System.Diagnostics;
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
    private const int MicroBatchSize = 4;
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
        var settings = Settings(spec);
        var units = DecoderTransformer.Units(settings);
        _model = new StageModel(units, 0, units.Count, new StageOptions(Precision.Fp32, CPU, 1));
        _batches = new RandomTokens(settings, 2 * spec.MicroBatchCount, MicroBatchSize);
        var place = new ReplicaPlace(self, LeafShare.Even(2 * spec.MicroBatchCount, 2), Summation.Fast);
        _reduction = new StageReduction(_model, place, spec.Reduction, new ReplicaLinks(_links, _inbox, new StepRecorder(new FlightRecorder()), (replica, _) => replica), null, _residuals);
    }

    /// <summary>Where the other process reaches this one.</summary>
    internal string Address => _links.Address;

    /// <summary>Bytes of the gradient.</summary>
    internal long GradientBytes => _model.Units.Sum(unit => unit.Gradient.numel()) * sizeof(float);

    internal void Connect(string address) => _links.Connect(address);

    /// <summary>Runs all rounds.</summary>
    /// <param name="together">Returns when the other process has come to the same place.</param>
    internal ReplicaResult Run(Action together)
    {
        List<double> seconds = [], exposed = [], windows = [], processor = [];
        var (sent, former) = (0L, default(SentTensors));
        for (var round = 1; round <= _spec.RoundCount + _spec.WarmUpCount; round++)
        {
            if (!_spec.Trains) Fill(round);
            if (round == _spec.WarmUpCount + 1) (sent, former) = (_links.SentBytes, _links.Tensors);
            together();
            if (round % _spec.Every != 0) continue;
            var (all, waited, window) = (0.0, 0.0, 0.0);
            var elapsed = Elapsed.Of(() => (all, waited, window) = Round(round));
            if (round <= _spec.WarmUpCount) continue;
            processor.Add(elapsed.CpuSeconds);
            seconds.Add(all);
            exposed.Add(waited);
            windows.Add(window);
        }

        together();
        return new ReplicaResult(Distribution.Median(seconds), Distribution.Median(exposed), (_links.SentBytes - sent) / _spec.RoundCount, GradientBytes, Distribution.Median(windows))
        {
            ProcessorSeconds = processor.Average(),
            Tensors = new SentTensors((_links.Tensors.Contributions - former.Contributions) / _spec.RoundCount, (_links.Tensors.Answers - former.Answers) / _spec.RoundCount),
        };
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

    private static ModelSettings Settings(ReplicaSpec spec) => spec switch
    {
        { Way: ReplicaWay.Nano } => BenchModels.Nano,
        { IsQuick: true } => BenchModels.Tiny(),
        { Trains: true } => BenchModels.Gpt(spec.LayerCount, 256, 8, 128, 2048),
        _ => BenchModels.Gpt(3, 512, 8, 256, 7680),
    };

    private (double Seconds, double Exposed, double Window) Round(long step)
    {
        var key = new StepKey(HubLinks.Run, Generation.None, 0, step);
        var start = Stopwatch.GetTimestamp();
        if (_spec.Way == ReplicaWay.FramesAlone)
        {
            ExchangeFrames(key);
            return (Stopwatch.GetElapsedTime(start).TotalSeconds, 0, 0);
        }

        _links.Forget(step - 2);
        var window = _spec.Trains ? Train(step, key) : 0;
        _reduction.Contribute(key);
        var ended = Stopwatch.GetTimestamp();
        _reduction.Reduce(key);
        _reduction.Finish(key);
        var exposed = Stopwatch.GetElapsedTime(ended).TotalSeconds;
        _inbox.FinishPhase(StageInbox.StepPhase(step));
        if (_spec.Trains) _model.OptimizerStep(step, BenchModels.Optimizer, BenchModels.Optimizer.UnclippedFactor(_batches.TokensPerStep));
        return (Stopwatch.GetElapsedTime(start).TotalSeconds, exposed, window);
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

/// <summary>What one process saw.</summary>
/// <param name="Seconds">Median time of a round.</param>
/// <param name="Exposed">Median time between the end of the own work and the end of the reduction.</param>
/// <param name="SentBytes">Bytes that its sockets sent in a round.</param>
/// <param name="GradientBytes">Bytes of its gradient in fp32.</param>
/// <param name="Window">Median time of the last micro-batch's backward, in which gradients become final and are sent.</param>
internal sealed record ReplicaResult(double Seconds, double Exposed, long SentBytes, long GradientBytes, double Window)
{
    /// <summary>Mean processor time of the process in a round, all threads: the system counts it in steps too coarse for a median.</summary>
    internal double ProcessorSeconds { get; init; }

    /// <summary>What of that were tensors, in a round.</summary>
    internal SentTensors Tensors { get; init; }
}
