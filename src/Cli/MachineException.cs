namespace Pipeline.Cli;

/// <summary>The machine lacks something that the command needs; the message says what, and the remedy.</summary>
public sealed class MachineException(string message, Exception? cause = null) : Exception(message, cause);

/// <summary>A command was used wrongly in a way that only its own checks can see, such as two options that exclude each other.</summary>
public sealed class UsageException(string message) : Exception(message);
