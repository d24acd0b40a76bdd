using System.Diagnostics;
using Pipeline.Protocol;

namespace Pipeline.Operator;

/// <summary>Measures processes of this machine.</summary>
public static class ProcessLoad
{
    /// <summary>What a process has used; null where it is gone or not ours to look at.</summary>
    public static NodeLoad? Of(int processId)
    {
        try
        {
            using var process = Process.GetProcessById(processId);
            return new NodeLoad(process.TotalProcessorTime.TotalSeconds, process.WorkingSet64);
        }
        catch (Exception gone) when (gone is ArgumentException or InvalidOperationException or System.ComponentModel.Win32Exception)
        {
            return null;
        }
    }
}
