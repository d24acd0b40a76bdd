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
    /// <param name="prediction">What was predicted of a step: drawn beside the measured one, and held against it in the summary. Null where there is none.</param>
    /// <param name="times">How long the steps took; null where nobody counted.</param>
    public void Plot(TracedSteps traced, RunPrediction? prediction = null, StepTimes? times = null)
    {
        _verdict = prediction is null || times is null ? [] : [.. prediction.Lines(times, traced), .. times.Exchange is { } exchange ? [exchange] : Array.Empty<string>()];
        Leave(() => Draw(traced, prediction));
    }

    private void Draw(TracedSteps traced, RunPrediction? prediction)
    {
        var lines = MetricsReader.Read(files.Metrics).ToArray();
        var steps = lines.OfType<StepMetrics>().ToArray();
        if (steps.Length > 0)
            AtomicFile.WriteText(files.LossPlot, LossPlot.Draw($"{materials.Settings.Preset}, {materials.Data.CorpusDescription}", steps, [.. lines.OfType<EvaluationMetrics>()]));
        if (traced.IsEmpty) return;
        var first = traced.Steps[^1];
        var simulated = prediction is { IsInSeconds: true } ? prediction.Step : prediction?.Replay(traced);
        var title = $"{materials.Settings.Preset}, {simulated?.Schedule.Name ?? materials.Settings.Step.Schedule}, step {first}";
        AtomicFile.WriteText(files.TimelinePlot, TimelinePlot.Draw(Beside(traced.ToTimeline(title, first), simulated)));
        AtomicFile.Write(files.Trace, stream => ChromeTrace.Write(stream, Beside(traced.ToTimeline(materials.Settings.Preset), simulated)));
    }

    // Each rank's measured lane with its simulated one below it, on the step's own clock.
    private static Timeline Beside(Timeline measured, SimulatedStep? simulated)
    {
        if (simulated is null || measured.Lanes.Count != simulated.Ranks.Length) return measured;
        var predicted = SimulationPictures.Window("", simulated, 0, simulated.Duration);
        // Each lane's idle share is that of its own step, however long the other takes.
        var duration = measured.Spans.Max(span => span.EndSeconds) - measured.Spans.Min(span => span.StartSeconds);
        var busy = measured.Spans.ToLookup(span => span.Lane, span => span.EndSeconds - span.StartSeconds);
        return measured with
        {
            Lanes = [.. measured.Lanes.SelectMany((lane, rank) => new[] { lane with { Bubble = 1 - busy[rank].Sum() / duration }, new TimelineLane("simulated", predicted.Lanes[rank].Bubble) })],
            Spans = [.. measured.Spans.Select(span => span with { Lane = 2 * span.Lane }), .. predicted.Spans.Select(span => span with { Lane = (2 * span.Lane) + 1 })],
        };
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
        foreach (var line in _verdict) context.Output.WriteLine(line);
    }

    private void Leave(Action write)
    {
        try
        {
            write();
        }
        catch (RunException fault)
        {
            context.Error.WriteLine(fault.Message);
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
