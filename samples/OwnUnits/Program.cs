using OwnUnits;
using Pipeline.Coordinator;
using Pipeline.Model.Training;
using Pipeline.Model.Units;
using Pipeline.Training;

const int Width = 64;
const int StepCount = 60;
var text = new CharacterBatches(microBatchCount: 4, microBatchSize: 8, context: 32);
IReadOnlyList<Unit> units =
[
    new CharacterEmbedding(text.VocabularySize, Width),
    .. Enumerable.Range(0, 4).Select(layer => new GatedConvolution(layer, Width, reach: 5)),
    new CharacterHead(text.VocabularySize, Width),
];
var plan = new TrainingPlan
{
    Units = units,
    Batches = text,
    Optimizer = new OptimizerSettings { LearningRate = 5e-3, Warmup = 5, Horizon = StepCount },
    Steps = StepCount,
    StageCount = 2,
};

LossLog pipeline = new(), reference = new();
var outcome = await PipelineRun.TrainAsync(plan, pipeline);
if (outcome.End == RunEnd.Completed) outcome = ReferenceRun.Train(plan, reference, CancellationToken.None);
if (outcome.End != RunEnd.Completed) return Fail(outcome.Error ?? "The run did not complete.");

Console.WriteLine("step  two stages           unsplit");
for (var step = 0; step < StepCount; step += step == 0 ? 9 : 10) Console.WriteLine($"{step + 1,4}  {pipeline[step],-19:R}  {reference[step]:R}");
if (!pipeline.HasTheBitsOf(reference)) return Fail("The losses of two stages are not those of the unsplit model.");
if (pipeline[StepCount - 1] > 0.6 * pipeline[0]) return Fail("The loss did not fall as expected.");
Console.WriteLine($"All {StepCount} losses have the same bits on two stages as in one thread.");
return 0;

static int Fail(string message)
{
    Console.Error.WriteLine(message);
    return 1;
}
