using System.Globalization;
using Pipeline.Coordinator;
using Pipeline.Data;
using Pipeline.Model.Generation;
using Pipeline.Model.Training;
using Pipeline.Runs;
using Pipeline.Stages;

namespace Pipeline.Cli.Execution;

/// <summary>What a run leaves for people: plots, a trace, a sample of text, a summary.</summary>
internal sealed class RunArtifacts(CommandContext context, RunMaterials materials, RunFiles files)
{
    private const int PromptTokenCount = 16;

    /// <summary>Draws the loss curve and, where steps were traced, their time line and trace.</summary>
    public void Plot(TracedSteps traced)
    {
        var lines = MetricsReader.Read(files.Metrics).ToArray();
        var steps = lines.OfType<StepMetrics>().ToArray();
        if (steps.Length > 0)
            AtomicFile.WriteText(files.LossPlot, LossPlot.Draw($"{materials.Settings.Preset}, {materials.Data.CorpusDescription}", steps, [.. lines.OfType<EvaluationMetrics>()]));
        if (traced.IsEmpty) return;
        var first = traced.Steps[0];
        AtomicFile.WriteText(files.TimelinePlot, TimelinePlot.Draw(traced.ToTimeline($"{materials.Settings.Preset}, {materials.Settings.Step.Schedule}, step {first}", first)));
        AtomicFile.Write(files.Trace, stream => ChromeTrace.Write(stream, traced.ToTimeline(materials.Settings.Preset)));
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
        AtomicFile.WriteText(files.Sample, written + Environment.NewLine);
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
