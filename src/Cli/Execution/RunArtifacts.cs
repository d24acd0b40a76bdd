using System.Globalization;
using Pipeline.Cli.Planning;
using Pipeline.Coordinator;
using Pipeline.Data;
using Pipeline.Model.Generation;
using Pipeline.Model.Training;
using Pipeline.Runs;
using Pipeline.Schedules;
using Pipeline.Stages;
using Timeline = Pipeline.Runs.Timeline;

namespace Pipeline.Cli.Execution;

/// <summary>What a run leaves for people: plots, a trace, a sample of text, a summary.</summary>
internal sealed class RunArtifacts(CommandContext context, RunMaterials materials, RunFiles files)
{
    private const int PromptTokenCount = 16;

    private IReadOnlyList<string> _verdict = [];

    /// <summary>
    /// Draws the loss curve and, where steps were traced, their time line and trace. What cannot be written is said on stderr: the
    /// run's outcome does not depend on a picture.
    /// </summary>
    /// <param name="traced">Steps whose actions were recorded.</param>
    public void Plot(TracedSteps traced) => Leave(() => Draw(traced, null));

    /// <summary>The same with what was predicted beside what was measured, and says in the run's directory how far apart the two are.</summary>
    public void Plot(RunVerdict verdict)
    {
        Leave(() => _verdict = verdict.Lines());
        Leave(() => AtomicFile.WriteText(files.Prediction, string.Concat(_verdict.Select(line => line + Environment.NewLine))));
        Leave(() => Draw(verdict.Traced, verdict.Prediction));
    }

    /// <summary>Takes from its directory what the leader of a run has said of its prediction; where it could not any more, what was seen by following it.</summary>
    public void TakeVerdict(RunVerdict followed) => Leave(() => Take(followed));

    private void Take(RunVerdict followed)
    {
        if (File.Exists(files.Prediction))
        {
            _verdict = File.ReadAllLines(files.Prediction);
            return;
        }

        if (File.Exists(files.Events) && File.ReadLines(files.Events).Any(line => line.Contains("\"units-moved\"", StringComparison.Ordinal) || line.Contains("\"replicas-changed\"", StringComparison.Ordinal)))
            followed.Changed("its units or replicas changed under way");
        _verdict = followed.Lines();
    }

    /// <summary>What came of the prediction, however the run ended.</summary>
    public void SayVerdict()
    {
        foreach (var line in _verdict) context.Output.WriteLine(line);
    }

    private void Draw(TracedSteps traced, RunPrediction? prediction)
    {
        var lines = MetricsReader.Read(files.Metrics).ToArray();
        var steps = lines.OfType<StepMetrics>().ToArray();
        if (steps.Length > 0)
            AtomicFile.WriteText(files.LossPlot, LossPlot.Draw($"{materials.Settings.Preset}, {materials.Data.CorpusDescription}", steps, [.. lines.OfType<EvaluationMetrics>()]));
        if (traced.IsEmpty) return;
        var first = traced.Steps[^1];
        var simulated = prediction is { IsInSeconds: true, Layout.Mesh.IsEven: true } ? prediction.Step : prediction?.Replay(traced);
        var replicaCount = prediction?.Layout.ReplicaCount ?? 1;
        var title = $"{materials.Settings.Preset}, {simulated?.Schedule.Name ?? materials.Settings.Step.Schedule}, step {first}";
        AtomicFile.WriteText(files.TimelinePlot, TimelinePlot.Draw(Beside(traced.ToTimeline(title, first), simulated, replicaCount)));
        AtomicFile.Write(files.Trace, stream => ChromeTrace.Write(stream, Beside(traced.ToTimeline(materials.Settings.Preset), simulated, replicaCount)));
    }

    // Each rank's measured lane with its simulated one below it, on the step's own clock: all replicas run the same schedule. Ranks behind them, which only add up, have none.
    private static Timeline Beside(Timeline measured, SimulatedStep? simulated, int replicaCount)
    {
        if (simulated is null) return measured;
        var pairCount = Math.Min(measured.Lanes.Count, simulated.Ranks.Length * replicaCount);
        var predicted = SimulationPictures.Window("", simulated, 0, simulated.Duration);
        var ofRank = predicted.Spans.ToLookup(span => span.Lane);
        // Each lane's idle share is that of its own step, however long the other takes.
        var duration = measured.Spans.Max(span => span.EndSeconds) - measured.Spans.Min(span => span.StartSeconds);
        var busy = measured.Spans.ToLookup(span => span.Lane, span => span.EndSeconds - span.StartSeconds);
        return measured with
        {
            Lanes = [.. measured.Lanes.SelectMany((lane, index) => Pair(lane with { Bubble = 1 - busy[index].Sum() / duration }, index))],
            Spans =
            [
                .. measured.Spans.Select(span => span with { Lane = span.Lane + Math.Min(span.Lane, pairCount) }),
                .. Enumerable.Range(0, pairCount).SelectMany(index => ofRank[index % simulated.Ranks.Length].Select(span => span with { Lane = (2 * index) + 1 })),
            ],
        };

        IEnumerable<TimelineLane> Pair(TimelineLane lane, int index) =>
            index < pairCount ? [lane, new TimelineLane("simulated", predicted.Lanes[index % simulated.Ranks.Length].Bubble)] : [lane];
    }

    /// <summary>Continues a held-out beginning with the newest checkpoint's weights.</summary>
    public void Sample()
    {
        if (materials.Settings.Run.SampleTokenCount == 0) return;
        using var model = LoadNewest();
        var tokenizer = materials.Data.Tokenizer;
        var prompt = new int[(int)Math.Min(PromptTokenCount, materials.Data.Validation.TokenCount)];
        materials.Data.Validation.Read(0, prompt);
        var generator = new TextGenerator(model, materials.Settings.Model.Context, tokenizer.VocabularySize);
        var settings = new SamplingSettings { Temperature = 0.8, TopK = 50, Seed = (ulong)materials.Settings.Seed };
        int[] text = [.. prompt, .. generator.Continue(prompt, settings, materials.Settings.Run.SampleTokenCount, null)];
        var written = tokenizer.Decode(text);
        Leave(() => AtomicFile.WriteText(files.Sample, written + Environment.NewLine));
        context.Output.WriteLine($"{Environment.NewLine}A sample (the first {prompt.Length} tokens are the prompt, from held-out text):");
        context.Output.WriteLine(written);
    }

    /// <summary>The last validation loss beside what counting words would reach, and where everything lies.</summary>
    public void Summarize()
    {
        var last = MetricsReader.Read(files.Metrics).OfType<EvaluationMetrics>().LastOrDefault();
        context.Output.WriteLine();
        if (last is not null)
        {
            var baseline = NgramBaseline.Measure(materials.Data);
            context.Output.WriteLine(string.Create(CultureInfo.InvariantCulture,
                $"validation loss {last.ValidationLoss:F4} nats/token, {materials.Data.BitsPerByte(last.ValidationLoss):F4} bits/byte "
                + $"(unigram {baseline.UnigramBitsPerByte:F4}, trigram {baseline.TrigramBitsPerByte:F4})"));
        }

        context.Output.WriteLine($"loss curve {files.LossPlot}");
        context.Output.WriteLine($"time line  {files.TimelinePlot} and {files.Trace} (for ui.perfetto.dev)");
        context.Output.WriteLine($"more text  pipeline generate --run {files.Folder} --prompt \"...\"");
        SayVerdict();
    }

    // A run that is done is done: nothing that is only said or drawn of it makes a failure of it, whatever it trips over.
    private void Leave(Action write)
    {
        try
        {
            write();
        }
#pragma warning disable CA1031 // Whatever it is, the run's outcome stands.
        catch (Exception fault)
#pragma warning restore CA1031
        {
            context.Error.WriteLine(fault is RunException ? fault.Message : $"What came of the prediction, or a picture, could not be made: {fault.Message}");
        }
    }

    private StageModel LoadNewest()
    {
        using var reader = CheckpointStores.Open(materials.Settings.Checkpoint, files).OpenLatest(verify: false).Require();
        var options = new StageOptions(materials.Settings.Arithmetic(), materials.Device(), (ulong)materials.Settings.Seed, Trains: false);
        var model = new StageModel(materials.Units, 0, materials.Units.Count, options);
        StateLoader.Load(model, reader);
        return model;
    }
}
