using System.Text.RegularExpressions;
using Pipeline.Coordinator;
using Pipeline.Model.Training;
using Pipeline.Schedules;
using Pipeline.Stages;

namespace Pipeline.Cli.Configuration;

/// <summary>
/// Every key under <c>pipeline.</c>, with type, range and unit. Defaults and reasons stand in <c>hocon/reference.conf</c>; a
/// test holds that both name the same keys and the same ranges.
/// </summary>
public static partial class SettingsSchema
{
    /// <summary>The section that holds all keys.</summary>
    public const string Root = "pipeline";

    private const string UnbuiltAxis = "Expected 1: this build splits a model over stages and a step over replicas only. Leave it at 1, and raise pipeline.parallelism.pipeline or data.";

    /// <summary>Preset that the other values start from.</summary>
    public static readonly ChoiceSetting<string> Preset = new("preset", Presets.Names.Select(name => (name, name)).ToArray());

    /// <summary>Seed of weights, samples and dropout.</summary>
    public static readonly WholeNumberSetting Seed = new("seed", 0, uint.MaxValue, "any number will do");

    /// <summary>Arithmetic of the products.</summary>
    public static readonly ChoiceSetting<PrecisionChoice> Precision =
        new("precision", ("auto", PrecisionChoice.Auto), ("fp32", PrecisionChoice.Fp32), ("bf16", PrecisionChoice.Bf16));

    /// <summary>Where tensors live.</summary>
    public static readonly TextSetting Device = new("device", "cpu or cuda:N, N being the number of a GPU")
    {
        Accepts = text => DevicePattern().IsMatch(text),
        ChangesOnResume = true,
    };

    /// <summary>How the run's layout is chosen.</summary>
    public static readonly ChoiceSetting<PlanKind> Plan = new("plan", ("none", PlanKind.None), ("auto", PlanKind.Auto)) { ChangesOnResume = true };

    /// <summary>Order in which gradients of micro-batches are added.</summary>
    public static readonly ChoiceSetting<Summation> Summation =
        new("numerics.summation", ("fast", Model.Training.Summation.Fast), ("invariant", Model.Training.Summation.Invariant))
        {
            // One replica's index order, which fast is too.
            FormerWords = new Dictionary<string, string> { ["index"] = "fast" },
        };

    /// <summary>Replicas of the pipeline.</summary>
    public static readonly WholeNumberSetting DataAxis = new("parallelism.data", 1, 1024, "replicas") { ChangesOnResume = true };

    /// <summary>Slices of each layer.</summary>
    public static readonly WholeNumberSetting TensorAxis = new("parallelism.tensor", 1, 1, "slices") { RefusalAbove = UnbuiltAxis };

    /// <summary>Stages.</summary>
    public static readonly WholeNumberSetting Stages = new("parallelism.pipeline", 1, 1024, "stages") { ChangesOnResume = true };

    /// <summary>Stages of each replica.</summary>
    public static readonly OptionalSetting<string, string?> StagesPerReplica = new(new TextSetting("parallelism.stages-per-replica", "the stages of each replica, such as 2,1")
    {
        Accepts = text => StageCountsPattern().IsMatch(text),
    })
    {
        ChangesOnResume = true,
    };

    /// <summary>Shards of the optimizer's state.</summary>
    public static readonly WholeNumberSetting OptimizerAxis = new("parallelism.optimizer", 1, 1024, "shards") { ChangesOnResume = true };

    /// <summary>Shards of the gradient.</summary>
    public static readonly WholeNumberSetting GradientAxis = new("parallelism.gradients", 1, 1024, "shards") { ChangesOnResume = true };

    /// <summary>Whether the number of replicas follows the nodes.</summary>
    public static readonly ChoiceSetting<ElasticChoice> Elastic =
        new("parallelism.elastic", ("auto", ElasticChoice.Auto), ("on", ElasticChoice.On), ("off", ElasticChoice.Off)) { ChangesOnResume = true };

    /// <summary>The most replicas of an elastic run.</summary>
    public static readonly OptionalSetting<long, long?> MostReplicas = new(new WholeNumberSetting("parallelism.data-most", 1, 1024, "replicas")) { ChangesOnResume = true };

    /// <summary>Which schedule runs.</summary>
    public static readonly WordOrFileSetting Schedule =
        new("schedule.name", ScheduleCatalog.All.Select(generator => generator.Name).ToArray(), ".csv") { ChangesOnResume = true };

    /// <summary>Stages on each rank.</summary>
    public static readonly OptionalSetting<long, long?> VirtualStages =
        new(new WholeNumberSetting("schedule.virtual-stages", 1, 256, "stages a rank")) { ChangesOnResume = true };

    /// <summary>What is dropped after the forward and computed again.</summary>
    public static readonly RecomputeSetting Recompute = new("schedule.recompute") { ChangesOnResume = true };

    /// <summary>What a rank may hold.</summary>
    public static readonly OptionalSetting<double, double?> RankMemory =
        new(new RealNumberSetting("schedule.rank-memory", new(0, 1e15, WithoutMinimum: true), "bytes")) { ChangesOnResume = true };

    /// <summary>Whether a step's optimizer waits for its norm.</summary>
    public static readonly ChoiceSetting<OptimizerBarrier> Barrier = new(
        "schedule.barrier", ("auto", OptimizerBarrier.Auto), ("on", OptimizerBarrier.On), ("off", OptimizerBarrier.Off)) { ChangesOnResume = true };

    /// <summary>Activations that a rank may hold, for the work-conserving schedule.</summary>
    public static readonly OptionalSetting<long, long?> MemoryCredit =
        new(new WholeNumberSetting("schedule.memory-credit", 1, 8_388_608, "pairs of stage and micro-batch a rank")) { ChangesOnResume = true };

    /// <summary>With which costs the work-conserving schedule's order is found.</summary>
    public static readonly OptionalSetting<IReadOnlyList<double>, IReadOnlyList<double>?> OrderCosts =
        new(new NumberListSetting("schedule.order-costs", 3, new(0, 1e12, WithoutMinimum: true), "[1, 1.2, 0.8]")) { ChangesOnResume = true };

    /// <summary>Units of each stage.</summary>
    public static readonly OptionalSetting<string, string?> Partition = new(new TextSetting("schedule.partition", "the number of units of each stage, such as 8,6")
    {
        Accepts = text => PartitionPattern().IsMatch(text),
    })
    {
        ChangesOnResume = true,
    };

    /// <summary>What follows when measured times ask for another division of the units.</summary>
    public static readonly ChoiceSetting<RebalanceKind> Rebalance = new(
        "schedule.rebalance", ("none", RebalanceKind.None), ("propose", RebalanceKind.Propose), ("auto", RebalanceKind.Auto)) { ChangesOnResume = true };

    /// <summary>How often these times are looked at.</summary>
    public static readonly WholeNumberSetting RebalanceEvery = new("schedule.rebalance-every", 2, 1_000_000, "steps") { ChangesOnResume = true };

    /// <summary>Micro-batches of a step.</summary>
    public static readonly WholeNumberSetting MicroBatches = new("schedule.micro-batches", 1, 32_768, "micro-batches a step");

    /// <summary>Samples of a micro-batch.</summary>
    public static readonly WholeNumberSetting MicroBatchSize = new("schedule.micro-batch-size", 1, 32_768, "samples a micro-batch");

    /// <summary>Transport of tensors between stages.</summary>
    public static readonly ChoiceSetting<LinkKind> Link =
        new("link.kind", ("auto", LinkKind.Auto), ("reference", LinkKind.Reference), ("frames", LinkKind.Frames),
        ("unix", LinkKind.Unix), ("tcp", LinkKind.Tcp), ("akka", LinkKind.Akka)) { ChangesOnResume = true };

    /// <summary>Threads within each stage.</summary>
    public static readonly WholeNumberSetting Threads = new("compute.threads", 1, 1024, "threads a stage");

    /// <summary>Measured costs of the units.</summary>
    public static readonly OptionalSetting<string, string?> Profile =
        new(new TextSetting("profile", "the path of a file that `pipeline profile` wrote, or several with commas between them, one for each node")) { ChangesOnResume = true };

    /// <summary>What a plan expects of the ranks of the run that it was made for.</summary>
    public static readonly OptionalSetting<string, string?> PlannedTimes =
        new(new TextSetting("planned-times", "the seconds that each rank of a pipeline should compute in a step, such as 0.8,0.6") { Accepts = text => TimesPattern().IsMatch(text) })
        {
            ChangesOnResume = true,
        };

    /// <summary>What such a plan expects of the units.</summary>
    public static readonly OptionalSetting<string, string?> PlannedUnits =
        new(new TextSetting("planned-units", "the seconds that each unit should need in a step on a node of speed 1, such as 0.1,0.2,0.2") { Accepts = text => TimesPattern().IsMatch(text) })
        {
            ChangesOnResume = true,
        };

    /// <summary>How fast the nodes are that such a plan gives the ranks.</summary>
    public static readonly OptionalSetting<string, string?> PlannedSpeeds =
        new(new TextSetting("planned-speeds", "the speed of each rank's node beside the others, such as 1,0.5") { Accepts = text => TimesPattern().IsMatch(text) })
        {
            ChangesOnResume = true,
        };

    /// <summary>Which nodes those are.</summary>
    public static readonly OptionalSetting<string, string?> PlannedNodes =
        new(new TextSetting("planned-nodes", "the address of the node of each rank, replica by replica, with commas between them") { Accepts = text => AddressesPattern().IsMatch(text) })
        {
            ChangesOnResume = true,
        };

    /// <summary>Every key, in the order of <c>reference.conf</c>.</summary>
    public static IReadOnlyList<Setting> All { get; } =
    [
        Preset, Seed, Precision, Device, Plan, .. ModelKeys.All, .. DataKeys.All, .. OptimizerKeys.All, Schedule, VirtualStages, Recompute, RankMemory, Barrier, MemoryCredit, OrderCosts, Partition, Rebalance, RebalanceEvery, MicroBatches, MicroBatchSize,
        DataAxis, TensorAxis, Stages, StagesPerReplica, OptimizerAxis, GradientAxis, Elastic, MostReplicas, Summation, .. ReductionKeys.All, Link, .. LinkKeys.All, Threads, .. CheckpointKeys.All, .. RunKeys.All, .. ProtectionKeys.All,
        Profile, PlannedTimes, PlannedUnits, PlannedSpeeds, PlannedNodes, .. SimulationKeys.All, .. ClusterKeys.All, .. SecurityKeys.All, .. TelemetryKeys.All,
    ];

    private static readonly Dictionary<string, Setting> ByPath = All.ToDictionary(setting => setting.FullPath, StringComparer.Ordinal);

    /// <summary>The key of a full path, or null.</summary>
    public static Setting? Find(string fullPath) => ByPath.GetValueOrDefault(fullPath);

    /// <summary>Whether a full path is a section that holds keys.</summary>
    public static bool IsSection(string fullPath) => All.Any(setting => setting.FullPath.StartsWith(fullPath + ".", StringComparison.Ordinal));

    /// <summary>A key as users may shorten it, with its root.</summary>
    public static string WithRoot(string key) => key.StartsWith(Root + ".", StringComparison.Ordinal) ? key : Root + "." + key;

    [GeneratedRegex("^[0-9]{1,5}(,[0-9]{1,5})*$")]
    private static partial Regex PartitionPattern();

    [GeneratedRegex("^[1-9][0-9]{0,3}(,[1-9][0-9]{0,3})*$")]
    private static partial Regex StageCountsPattern();

    // Above 0, since measured times are divided by them.
    [GeneratedRegex(@"^(?!.*(^|,)0*(\.0*)?(,|$))\d{1,6}(\.\d{1,12})?(,\d{1,6}(\.\d{1,12})?)*$")]
    private static partial Regex TimesPattern();

    [GeneratedRegex(@"^[^\s,]{1,300}(,[^\s,]{1,300})*$")]
    private static partial Regex AddressesPattern();

    [GeneratedRegex("^(cpu|cuda:[0-9]{1,3})$")]
    private static partial Regex DevicePattern();
}
