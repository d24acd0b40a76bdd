namespace Pipeline.Runs;

/// <summary>
/// Writes a TensorBoard event file, <c>events.out.tfevents.SECONDS.HOST</c>, record by record. A resumed run opens a file of its own,
/// as TensorBoard expects. Not for several threads at once.
/// </summary>
public sealed class TensorBoardWriter : IDisposable
{
    private readonly FileStream _stream;
    private readonly TimeProvider _time;

    /// <param name="folder">The run directory.</param>
    /// <param name="time">Gives the wall time of the records.</param>
    /// <param name="resumedAfterStep">The last step that stays valid, where the run goes on; null for a new run.</param>
    /// <exception cref="RunException">The file cannot be written.</exception>
    public TensorBoardWriter(string folder, TimeProvider time, long? resumedAfterStep = null)
    {
        _time = time;
        _stream = Create(System.IO.Path.Combine(folder, FormattableString.Invariant($"events.out.tfevents.{time.GetUtcNow().ToUnixTimeSeconds()}.{HostName()}")));
        Path = _stream.Name;
        Append(TensorBoardEvent.FileHeader(WallTime()));
        if (resumedAfterStep is { } step)
            Append(TensorBoardEvent.Restart(WallTime(), step + 1));
    }

    /// <summary>The file.</summary>
    public string Path { get; }

    /// <summary>Writes loss, gradient norm, learning rate, speed and bubble of a step, and where replicas exchange something, the seconds that a rank waits for it.</summary>
    /// <exception cref="RunException">The file cannot be written.</exception>
    public void Write(StepMetrics metrics)
    {
        (string, double)[] always =
        [
            ("train/loss", metrics.Loss),
            ("train/gradient_norm", metrics.GradientNorm),
            ("train/learning_rate", metrics.LearningRate),
            ("speed/tokens_per_second", metrics.Tokens / metrics.Seconds),
            ("speed/bubble", metrics.Bubble),
        ];
        double[] exposed = [.. metrics.Stages.Select(stage => stage.Exposed).OfType<double>()];
        Scalars(metrics.Step, exposed.Length == 0 ? always : [.. always, ("speed/exposed_seconds", exposed.Average())]);
    }

    /// <summary>Writes the validation loss.</summary>
    /// <exception cref="RunException">The file cannot be written.</exception>
    public void Write(EvaluationMetrics metrics)
    {
        if (metrics.BitsPerByte is { } bits)
            Scalars(metrics.Step, ("validation/loss", metrics.ValidationLoss), ("validation/bits_per_byte", bits));
        else
            Scalars(metrics.Step, ("validation/loss", metrics.ValidationLoss));
    }

    /// <summary>Writes any numbers by name. They are stored as 32-bit floats; those that are not finite are kept, as TensorBoard shows them.</summary>
    /// <exception cref="RunException">The file cannot be written.</exception>
    public void Scalars(long step, params IReadOnlyList<(string Tag, double Value)> values) =>
        Append(TensorBoardEvent.Scalars(WallTime(), step, values));

    /// <inheritdoc/>
    public void Dispose() => _stream.Dispose();

    private void Append(byte[] message)
    {
        try
        {
            _stream.Write(TensorBoardRecord.Frame(message));
        }
        catch (Exception exception) when (RunException.IsFileFault(exception))
        {
            throw RunException.WhileWriting(Path, exception);
        }
    }

    private double WallTime() => _time.GetUtcNow().ToUnixTimeMilliseconds() / 1000.0;

    private static string HostName() =>
        string.Concat(Environment.MachineName.Select(c => char.IsAsciiLetterOrDigit(c) || c == '-' ? c : '-'));

    /// <summary>Two files of one second get different names.</summary>
    private static FileStream Create(string path)
    {
        try
        {
            for (var number = 0; ; number++)
            {
                var candidate = number == 0 ? path : FormattableString.Invariant($"{path}.{number}");
                if (!File.Exists(candidate))
                    return new FileStream(candidate, FileMode.CreateNew, FileAccess.Write, FileShare.Read, bufferSize: 0);
            }
        }
        catch (Exception exception) when (RunException.IsFileFault(exception))
        {
            throw RunException.WhileWriting(path, exception);
        }
    }
}
