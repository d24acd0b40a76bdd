namespace Pipeline.Stages;

/// <summary>The stage was told to stop while its compute thread waited or was between two actions: not a failure.</summary>
internal sealed class StageClosedException() : Exception("The stage was told to stop.");
