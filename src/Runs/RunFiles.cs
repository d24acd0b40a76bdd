namespace Pipeline.Runs;

/// <summary>The names of everything in a run directory. Pure: it neither looks at the disk nor changes it.</summary>
/// <param name="Folder">The run directory.</param>
public sealed record RunFiles(string Folder)
{
    /// <summary>The resolved configuration, each value with its origin.</summary>
    public string Configuration => In("config.conf");

    /// <summary>One line per committed step or evaluation.</summary>
    public string Metrics => In("metrics.jsonl");

    /// <summary>Hashes of weights and moments, per tensor.</summary>
    public string Digests => In("digests.jsonl");

    /// <summary>Faults, recoveries, commands, audit.</summary>
    public string Events => In("events.jsonl");

    /// <summary>What was changed of the run under way.</summary>
    public string Changes => In("changes.jsonl");

    /// <summary>The loss curve.</summary>
    public string LossPlot => In("loss.svg");

    /// <summary>What each stage did in one step.</summary>
    public string TimelinePlot => In("timeline.svg");

    /// <summary>Spans of some steps, readable by Perfetto.</summary>
    public string Trace => In("trace.json");

    /// <summary>What came of the prediction, as it is said at the run's end.</summary>
    public string Prediction => In("prediction.txt");

    /// <summary>The costs of units that a run over several processes is predicted with: those of where it was submitted.</summary>
    public string Profile => In("profile.json");

    /// <summary>The logs of the run and of its nodes.</summary>
    public string Logs => In("logs");

    /// <summary>What the ranks' flight recorders held when something went wrong.</summary>
    public string Dumps => In("dumps");

    /// <summary>The folder that holds <c>step-N/</c>.</summary>
    public string Checkpoints => In("checkpoints");

    /// <summary>Copies of the ranks' states, where an operator has had them put on disk.</summary>
    public string Copies => In("copies");

    /// <summary>Text generated at the end.</summary>
    public string Sample => In("sample.txt");

    /// <summary>Where the running program listens; there only while it runs.</summary>
    public string Endpoint => In("endpoint.json");

    /// <summary>What a command to the running program must show; there only while it runs.</summary>
    public string EndpointToken => In("endpoint.token");

    /// <summary>What the leader of a run over several processes has decided, for the next leader.</summary>
    public string Journal => In("journal.jsonl");

    /// <summary>The file whose lock keeps a second program out.</summary>
    internal string Lock => In("run.lock");

    /// <summary>Who holds the lock.</summary>
    internal string Owner => In("run.owner.json");

    /// <summary>Whether a run has begun here.</summary>
    public bool HoldRun() => File.Exists(Configuration) || File.Exists(Metrics) || Directory.Exists(Checkpoints);

    private string In(string name) => Path.Combine(Folder, name);
}
