using Pipeline.Cli.Configuration;
using Xunit;

namespace Pipeline.Tests.Cli;

public sealed class ConfigurationResolverTests
{
    private static readonly WholeNumberSetting Key = ModelKeys.Layers;

    private static ConfigurationLayer File(string text, string name = "my.conf") => ConfigurationLayer.FromHocon(name, text);

    private static ConfigurationLayer Variables(string name, string value) =>
        ConfigurationLayer.FromEnvironment(new Dictionary<string, string> { [name] = value });

    private static IReadOnlyList<ConfigurationFault> FaultsOf(ConfigurationSources sources) =>
        Assert.Throws<ConfigurationException>(() => RunSettingsBinder.Resolve(sources)).Faults;

    private static ConfigurationFault FaultOf(string file) => Assert.Single(FaultsOf(ConfigurationSources.None with { Files = [File(file)] }));

    [Fact]
    public void A_stronger_layer_covers_a_weaker_one_and_the_origin_says_which_won()
    {
        var sources = ConfigurationSources.None;
        void Expect(long value, string origin)
        {
            var resolved = ConfigurationResolver.Resolve(sources);
            Assert.Equal(value, resolved.Get(Key));
            Assert.Equal(origin, resolved.OriginOf(Key).ToString());
        }

        Expect(6, "preset gpt-micro, line 3");
        sources = sources with { Files = [File("pipeline.model.layers = 7")] };
        Expect(7, "my.conf, line 1");
        sources = sources with { Files = [.. sources.Files, File("pipeline {\n  model {\n    layers = 8\n  }\n}", "second.conf")] };
        Expect(8, "second.conf, line 3");
        sources = sources with { Environment = Variables("PIPELINE__MODEL__LAYERS", "9") };
        Expect(9, "environment PIPELINE__MODEL__LAYERS");
        sources = sources with { Assignments = ConfigurationLayer.FromAssignments(["model.layers=10", "pipeline.model.layers = 11"]) };
        Expect(11, "--set");
        sources = sources with { Flags = ConfigurationLayer.FromFlags([(Key, "--layers", "12")]) };
        Expect(12, "--layers");
    }

    [Fact]
    public void The_preset_may_be_named_by_any_layer_and_stays_below_files()
    {
        var sources = ConfigurationSources.None with { Files = [File("pipeline { preset = llama-nano, model.layers = 5 }")] };
        var resolved = ConfigurationResolver.Resolve(sources);
        Assert.Equal(5, resolved.Get(ModelKeys.Layers));
        Assert.Equal(2, resolved.Get(ModelKeys.KeyValueHeads));
    }

    [Fact]
    public void An_environment_variable_spells_hyphens_with_one_underscore()
    {
        var resolved = ConfigurationResolver.Resolve(ConfigurationSources.None with { Environment = Variables("PIPELINE__MODEL__KV_HEADS", "3") });
        Assert.Equal(3, resolved.Get(ModelKeys.KeyValueHeads));
    }

    [Fact]
    public void All_faults_of_all_layers_are_reported_at_once()
    {
        var faults = FaultsOf(new(
            [File("pipeline {\n model { layres = 3, width = wide }\n precision = bf61\n}"), File("pipeline {\n steps = ", "cut.conf")],
            Variables("PIPELINE__RUN__STEPS", "-1"),
            ConfigurationLayer.FromAssignments(["nonsense", "optimizer.betas=[0.9]"]),
            ConfigurationLayer.FromFlags([(SettingsSchema.Stages, "--stages", "0")])));
        string[] expected =
        [
            "pipeline.model.layres (my.conf, line 2): There is no such setting. Did you mean pipeline.model.layers?",
            "pipeline.model.width (my.conf, line 2): Expected a whole number from 2 to 65536 (elements); found \"wide\". Correct it, or leave it out for 192 (preset gpt-micro).",
            "pipeline.precision (my.conf, line 3): Expected one of auto, fp32, bf16; did you mean bf16? Found \"bf61\".",
            "HOCON (cut.conf, line 2): The key 'steps' has no value after '=': the text is truncated.",
            "HOCON (cut.conf, line 1): The text ends inside the section opened here ('{' without '}'): it is truncated, or a brace is missing.",
            "pipeline.run.steps (environment PIPELINE__RUN__STEPS): Expected a whole number from 1 to 1000000000 (steps); found \"-1\". Correct it, or leave it out for 400 (preset gpt-micro).",
            "--set nonsense: Expected KEY=VALUE, such as --set model.layers=8.",
            "pipeline.optimizer.betas (--set): Expected a list of 2 numbers, each from 0 to below 1, such as [0.9, 0.95]; found \"[0.9]\". Correct it, or leave it out for [0.9, 0.95] (reference.conf).",
            "pipeline.parallelism.pipeline (--stages): Expected a whole number from 1 to 1024 (stages); found \"0\". Correct it, or leave it out for 2 (reference.conf).",
        ];
        Assert.Equal(expected, faults.Select(fault => fault.ToString()));
    }

    [Theory]
    [InlineData("pipeline.layers = 3", "Did you mean pipeline.model.layers?")]
    [InlineData("pipeline.modle.width = 3", "Did you mean pipeline.model.width?")]
    [InlineData("pipeline.optimiser.learning-rate = 1", "Did you mean pipeline.optimizer.learning-rate?")]
    [InlineData("model.layers = 3", "Did you mean pipeline.model.layers?")]
    [InlineData("pipeline.zzz = 3", "There is no such setting. `pipeline config show` lists all of them.")]
    [InlineData("akka.loglevel = INFO", "every key stands under 'pipeline.'")]
    [InlineData("pipeline.model = 3", "Expected a section with keys such as pipeline.model.layers, found a value.")]
    public void An_unknown_key_is_refused_with_the_name_that_was_probably_meant(string file, string expected)
    {
        Assert.Contains(expected, FaultOf(file).ToString(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("pipeline.parallelism.data = 3", "Expected a multiple of pipeline.parallelism.data, 3 replicas")]
    [InlineData("pipeline.parallelism.tensor = 2", "splits a model over stages and a step over replicas only")]
    [InlineData("pipeline.parallelism.optimizer = 2", "Expected 1 or the 1 of pipeline.parallelism.data")]
    [InlineData("pipeline.parallelism.elastic = on", "one replica cannot become fewer")]
    [InlineData("pipeline.parallelism { data-most = 4, elastic = on }", "one replica that adds up as fast does")]
    [InlineData("pipeline { parallelism.data-most = 4, numerics.summation = invariant, reduction.topology = coordinator }", "Expected sharded or hierarchical beside one replica that may become several")]
    [InlineData("pipeline.parallelism { data = 2, data-most = 4 }", "only an elastic run has more replicas than it begins with")]
    [InlineData("pipeline.parallelism { data = 2, data-most = 1 }\npipeline.numerics.summation = invariant", "Expected from the 2 of pipeline.parallelism.data to the 8 micro-batches of a step")]
    [InlineData("pipeline { parallelism { data = 2, data-most = 9, elastic = on } }", "of which each replica computes one at least; found 9")]
    [InlineData("pipeline.parallelism.stages-per-replica = \"2,1\"", "there is one replica")]
    [InlineData("pipeline.parallelism.stages-per-replica = \"2,0\"", "Expected the stages of each replica, such as 2,1")]
    [InlineData("pipeline.parallelism { data = 2, stages-per-replica = \"2,1,1\" }", "Expected 2 numbers, one for each replica of pipeline.parallelism.data, the first 2 as pipeline.parallelism.pipeline says; found 2,1,1")]
    [InlineData("pipeline.parallelism { data = 2, stages-per-replica = \"1,2\" }", "the first 2 as pipeline.parallelism.pipeline says; found 1,2")]
    [InlineData("pipeline.parallelism { data = 2, stages-per-replica = \"2,1\" }\npipeline.schedule.name = \"own.csv\"", "a schedule from a file is for one number of stages")]
    [InlineData("pipeline.parallelism { data = 2, stages-per-replica = \"2,1\" }\npipeline.schedule.partition = \"7,7\"", "it is for one number of stages")]
    [InlineData("pipeline { parallelism { data = 2, stages-per-replica = \"2,1\", elastic = on, data-most = 3 } }", "which says what replicas there are at most")]
    [InlineData("pipeline.parallelism { data = 2, stages-per-replica = \"2,1\" }\npipeline.schedule.rebalance = auto", "are not divided anew")]
    [InlineData("pipeline.parallelism { data = 2, elastic = on }\npipeline.schedule.name = \"own.csv\"", "Expected auto or off beside a schedule from a file")]
    [InlineData("pipeline { parallelism.data = 2, reduction.groups = host }", "only pipeline.reduction.topology = hierarchical has groups")]
    [InlineData("pipeline { parallelism.data = 2, reduction { topology = hierarchical, groups = host, group-size = 2 } }", "pipeline.reduction.groups says who forms a group")]
    [InlineData("pipeline { parallelism.data = 2, reduction { topology = hierarchical, groups = \"0-3\" } }", "Expected each of the 2 replicas")]
    [InlineData("pipeline.reduction.groups = \"0-1;3\"", "replicas by group such as 0-3;4,6;5,7")]
    [InlineData("pipeline.parallelism { data = 2, optimizer = 2, gradients = 2 }\npipeline.reduction.topology = hierarchical", "Expected sharded beside pipeline.parallelism.gradients above 1")]
    [InlineData("pipeline.parallelism { data = 2, optimizer = 2 }\npipeline.compression { answer = int8, error-feedback = false }", "sends what the others lack")]
    [InlineData("pipeline.compression.activations = top-k", "activations have none")]
    [InlineData("pipeline { parallelism.pipeline = 1, compression.activations = int8 }", "with one stage no activation travels")]
    [InlineData("pipeline.compression.kind = int8", "with one replica nothing is reduced")]
    [InlineData("pipeline { parallelism.data = 2, reduction.group-size = 2 }", "only pipeline.reduction.topology = hierarchical has groups")]
    [InlineData("pipeline { parallelism.data = 2, numerics.summation = invariant, compression.kind = top-k }", "what is lost depends on the number of replicas")]
    [InlineData("pipeline { parallelism.data = 2, schedule.barrier = off }", "wait for the norm of each step")]
    [InlineData("pipeline { numerics.summation = invariant, schedule.barrier = off }", "wait for the norm of each step")]
    [InlineData("pipeline { parallelism.data = 2, device = \"cuda:0\" }", "adds gradients up in the memory of the host")]
    [InlineData("pipeline { parallelism.data = 2, compression { kind = top-k, rounding = stochastic } }", "only bf16, int8 and int4 round")]
    [InlineData("pipeline { parallelism.data = 2, compression { kind = int8, share = 0.1 } }", "only top-k sends a share")]
    [InlineData("pipeline { parallelism.data = 2, compression { answer = int8, rank = 4 } }", "only power-sgd has a rank")]
    [InlineData("pipeline { parallelism.data = 2, compression.warmup = 4 }", "nothing is compressed after it either")]
    [InlineData("pipeline { parallelism.data = 2, compression.error-feedback = false }", "what is not compressed loses nothing")]
    [InlineData("pipeline.compression.rounding = stochastic", "only bf16, int8 and int4 round")]
    [InlineData("pipeline { parallelism.data = 2, simulation.replicas = 4 }", "which says how many replicas there are")]
    [InlineData("pipeline.parallelism { data = 2, gradients = 2 }", "whoever adds a gradient up updates its weight")]
    [InlineData("pipeline.parallelism { data = 2, optimizer = 2, gradients = 2 }\npipeline.reduction.overlap = false", "cannot be sent later")]
    [InlineData("pipeline { parallelism.data = 2, compression.kind = int8, reduction.lend-from = 1000 }", "send gradients from where they lie")]
    [InlineData("pipeline.parallelism { data = 2, optimizer = 2 }\npipeline.reduction.lend-from = 1000", "send gradients from where they lie")]
    [InlineData("pipeline { parallelism.data = 2, compression.kind = one-bit }", "second moments that are frozen")]
    [InlineData("pipeline { parallelism.data = 2, compression { kind = int8, second-moment = frozen } }", "second moments that are frozen")]
    [InlineData("pipeline { parallelism.data = 2, reduction.outer-momentum = 0.5 }", "there is no outer step")]
    [InlineData("pipeline.parallelism { data = 2, optimizer = 2 }\npipeline.reduction.local-steps = 8", "each replica takes steps, and has moments, of its own")]
    [InlineData("pipeline { parallelism.data = 2, reduction.local-steps = 8, numerics.summation = invariant }", "depends on their number")]
    [InlineData("pipeline { parallelism.data = 2, reduction { local-steps = 8, overlap = false } }", "nothing is sent while backward goes on")]
    [InlineData("pipeline { parallelism.data = 2, reduction.local-steps = 8, compression.kind = auto }", "a trial compares steps")]
    [InlineData("pipeline.reduction.local-steps = 8", "with one replica nothing is reduced")]
    [InlineData("pipeline.numerics.summation = indices", "Expected one of fast, invariant")]
    [InlineData("pipeline.device = tpu", "Expected cpu or cuda:N")]
    [InlineData("pipeline.model.rope-base = 500", "It would be ignored: only pipeline.model.positions = rope uses it.")]
    [InlineData("pipeline.model.heads = 7", "is not divisible by model.heads 7")]
    [InlineData("pipeline.optimizer.warmup = 500", "Expected at most the horizon, 400 steps; found 500.")]
    [InlineData("pipeline.schedule.recompute = \"4xfull\"", "Expected parts for the 14 units of the model (embedding, two for each layer, head), found 4.")]
    [InlineData("pipeline.schedule.recompute = [full, none]", "Expected parts for the 14 units")]
    [InlineData("pipeline.schedule.recompute = selectiv", "did you mean selective?")]
    [InlineData("pipeline { schedule.rank-memory = 1e9, simulation.nodes = 2 }", "It would be ignored: with pipeline.simulation.nodes")]
    [InlineData("pipeline.optimizer.learning-rate = NaN", "Expected a number above 0")]
    [InlineData("pipeline.model.dropout = 1", "Expected a number from 0 to below 1")]
    [InlineData("pipeline.model.layers = [1, 2]", "found [1, 2]")]
    [InlineData("pipeline.model.layers { a = 1 }", "pipeline.model.layers.a")]
    public void A_value_that_cannot_be_honoured_is_refused(string file, string expected) =>
        Assert.Contains(expected, FaultOf(file).ToString(), StringComparison.Ordinal);

    [Fact]
    public void A_missing_file_is_a_fault_like_the_others() =>
        Assert.Equal("/does/not/exist.conf: There is no such file: check the path given with -c.",
            Assert.Single(FaultsOf(ConfigurationSources.None with { Files = [ConfigurationLayer.FromFile("/does/not/exist.conf")] })).ToString());

    [Fact]
    public void Settling_replaces_everything_that_was_left_to_the_program()
    {
        var bound = RunSettingsBinder.Resolve(ConfigurationSources.None);
        var settled = RunSettingsBinder.Settle(bound, () => true);
        Assert.Equal(PrecisionChoice.Bf16, settled.Settings.Precision);
        Assert.Equal(global::Pipeline.Model.Precision.Bf16, settled.Settings.Arithmetic());
        Assert.Equal(400, settled.Configuration.Get(OptimizerKeys.Horizon));
        Assert.Equal(40, settled.Configuration.Get(OptimizerKeys.Warmup));
        Assert.Equal(bound.Settings.Optimizer, settled.Settings.Optimizer);
        Assert.Equal(bound.Settings.Model, settled.Settings.Model);
    }

    [Fact]
    public void A_resumed_run_keeps_its_horizon_when_it_goes_further()
    {
        var stored = File(ConfigurationPrinter.Hocon(RunSettingsBinder.Settle(RunSettingsBinder.Resolve(ConfigurationSources.None), () => false).Configuration), "config.conf");
        var resumed = RunSettingsBinder.Resume(stored, ConfigurationSources.None with
        {
            Flags = ConfigurationLayer.FromFlags([(RunKeys.Steps, "--steps", "800"), (SettingsSchema.Stages, "--stages", "3")]),
        }).Settings;
        Assert.Equal((800, 400, 3), (resumed.Run.StepCount, resumed.Optimizer.Horizon, resumed.Step.StageCount));
    }

    [Theory]
    [InlineData("seed=2")]
    [InlineData("model.layers=7")]
    [InlineData("preset=gpt-nano")]
    [InlineData("schedule.micro-batches=3")]
    [InlineData("optimizer.learning-rate=1")]
    [InlineData("run.directory=elsewhere")]
    [InlineData("data.path=other.txt")]
    public void A_resumed_run_refuses_to_change_what_its_numbers_depend_on(string assignment)
    {
        var stored = File(ConfigurationPrinter.Hocon(ConfigurationResolver.Resolve(ConfigurationSources.None)), "config.conf");
        var sources = ConfigurationSources.None with { Assignments = ConfigurationLayer.FromAssignments([assignment]) };
        var fault = Assert.Single(Assert.Throws<ConfigurationException>(() => RunSettingsBinder.Resume(stored, sources)).Faults);
        Assert.Contains("A resumed run keeps what it was started with", fault.Sentence, StringComparison.Ordinal);
    }

    [Fact]
    public void The_index_order_of_former_builds_is_read_as_what_it_is_called_now()
    {
        var stored = File("pipeline.numerics.summation = index", "config.conf");
        var bound = RunSettingsBinder.Resume(stored, ConfigurationSources.None);
        Assert.Equal(Pipeline.Model.Training.Summation.Fast, bound.Settings.Summation);
        Assert.Equal("fast", bound.Configuration.TextOf(SettingsSchema.Summation));
    }

    [Fact]
    public void A_resumed_run_keeps_whether_gradients_are_freed_where_that_is_another_order_of_addition()
    {
        const string Sharing = "schedule.micro-batches = 4, parallelism { data = 2, optimizer = 2 }";
        var sources = ConfigurationSources.None with { Assignments = ConfigurationLayer.FromAssignments(["parallelism.gradients=2"]) };
        Assert.Equal(2, RunSettingsBinder.Resume(File($"pipeline {{ numerics.summation = invariant, {Sharing} }}", "config.conf"), sources).Settings.Step.GradientShardCount);
        var fault = Assert.Single(Assert.Throws<ConfigurationException>(() => RunSettingsBinder.Resume(File($"pipeline {{ {Sharing} }}", "config.conf"), sources)).Faults);
        Assert.Contains("keeps its 1 shards of the gradient", fault.Sentence, StringComparison.Ordinal);
    }

    [Fact]
    public void A_resumed_run_may_have_other_replicas_where_these_change_no_bit()
    {
        var invariant = File("pipeline { numerics.summation = invariant, schedule.micro-batches = 4 }", "config.conf");
        var sources = ConfigurationSources.None with { Assignments = ConfigurationLayer.FromAssignments(["parallelism.data=2"]) };
        Assert.Equal(2, RunSettingsBinder.Resume(invariant, sources).Settings.Step.ReplicaCount);
        var fast = File("pipeline { numerics.summation = fast, schedule.micro-batches = 4 }", "config.conf");
        var fault = Assert.Single(Assert.Throws<ConfigurationException>(() => RunSettingsBinder.Resume(fast, sources)).Faults);
        Assert.Contains("keeps its 1 replicas unless pipeline.numerics.summation = invariant", fault.Sentence, StringComparison.Ordinal);
    }

    [Fact]
    public void A_resumed_run_accepts_a_fixed_key_with_the_value_that_it_has()
    {
        var stored = File(ConfigurationPrinter.Hocon(ConfigurationResolver.Resolve(ConfigurationSources.None)), "config.conf");
        RunSettingsBinder.Resume(stored, ConfigurationSources.None with { Environment = Variables("PIPELINE__MODEL__LAYERS", "6") });
    }
}
