using System.Diagnostics;

namespace Pipeline.Operator;

/// <summary>What a process of this machine has used.</summary>
/// <param name="ProcessorSeconds">Since it began, over all its threads.</param>
/// <param name="ResidentBytes">Memory now.</param>
public sealed record ProcessLoad(double ProcessorSeconds, long ResidentBytes)
{
    /// <summary>Measures a process; null where it is gone or not ours to look at.</summary>
    public static ProcessLoad? Of(int processId)
    {
        try
        {
            using var process = Process.GetProcessById(processId);
            return new ProcessLoad(process.TotalProcessorTime.TotalSeconds, process.WorkingSet64);
        }
        catch (Exception gone) when (gone is ArgumentException or InvalidOperationException or System.ComponentModel.Win32Exception)
        {
            return null;
        }
    }
}
