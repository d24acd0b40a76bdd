using System.Globalization;
using Pipeline.Bench;
using Pipeline.Bench.Measures;
using Pipeline.Bench.Measures.Processes;
using Pipeline.Bench.Measures.Replicas;
using Pipeline.Bench.Measures.Wire;
using Pipeline.Bench.Reports;
using Pipeline.Model.Numerics;

if (args is [ReplicaPair.ChildWord, RawExchange.Word, var path, var bytes, var rounds])
{
    TorchRuntime.Initialize();
    return RawExchange.RunChild(path, int.Parse(bytes, CultureInfo.InvariantCulture), int.Parse(rounds, CultureInfo.InvariantCulture));
}

if (args is [ReplicaPair.ChildWord, var specification])
{
    TorchRuntime.Initialize();
    return ReplicaPair.RunChild(specification);
}

if (args.Contains("--help", StringComparer.Ordinal))
{
    Console.WriteLine(BenchOptions.Usage);
    return 0;
}

BenchOptions options;
try
{
    options = BenchOptions.Parse(args);
}
catch (ArgumentException fault)
{
    Console.Error.WriteLine(fault.Message);
    return 2;
}

TorchRuntime.Initialize();
var writer = new ReportWriter(options, TimeProvider.System);
// First: the peak that it reports is the process's.
if (options.Wants("simulator")) writer.Write(SimulatorScale.Measure(options));
if (options.Wants("gemm")) writer.Write(GemmShare.Measure(options));
if (options.Wants("efficiency")) writer.Write(await PipelineEfficiency.MeasureAsync(options));
if (options.Wants("split")) writer.Write(SplitOverhead.Measure(options));
if (options.Wants("schedules")) writer.Write(await ScheduleEfficiency.MeasureAsync(options));
if (options.Wants("latency")) writer.Write(await ActionLatency.MeasureAsync(options));
if (options.Wants("reduction")) writer.Write(ReductionSpeed.Measure(options.StepCount ?? 7, options.IsQuick));
if (options.Wants("replica-link")) writer.Write(ReplicaLinkSpeed.Measure(options));
if (options.Wants("replica-bytes")) writer.Write(ReplicaBytes.Measure(options));
if (options.Wants("replica-steps") && options.WireKind != "overlap") writer.Write(ReplicaSteps.Measure(options));
if (options.Wants("replica-steps") && options.WireKind != "throughput") writer.Write(ReplicaOverlap.Measure(options, writer.Keep));
if (options.Wants("replica-memory")) writer.Write(ReplicaMemory.Measure(options));
if (options.Wants("summation")) writer.Write(SummationCost.Measure(options));
if (options.Wants("replica-scale")) writer.Write(ReplicaScale.Predict());
if (options.Wants("curves")) writer.Write(CompressionCurves.Measure(options, writer.Keep));
if (options.Wants("soak")) writer.Write(await Soak.MeasureAsync(options));
if (options.Wants("prediction")) writer.Write(await PredictionError.MeasureAsync(options));
if (options.Wants("wire")) writer.Write(WireCost.Measure(options));
if (options.Wants("protection")) writer.Write(ProtectionOverhead.Measure(options));
if (options.Wants("processes")) writer.Write(ProcessEfficiency.Measure(options));
if (options.Wants("telemetry")) writer.Write(await TelemetryOverhead.MeasureAsync(options));
if (options.Wants("wire-control")) writer.Write(ControlLatency.Measure(options));
return 0;
