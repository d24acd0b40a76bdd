using Pipeline.Cli.Configuration;
using Pipeline.Cli.Machine;

namespace Pipeline.Cli.Planning;

/// <summary>Settles an open precision, as a run would, for commands that reckon with a run.</summary>
internal static class PrecisionChoices
{
    /// <summary>The same settings with a precision: measured on this machine, bf16 on a described cluster.</summary>
    public static BoundConfiguration Settled(BoundConfiguration bound) => RunSettingsBinder.Settle(
        bound, () => bound.Settings.Simulation.NodeCount is not null || PrecisionProbe.Measure(bound.Settings.Data.CacheFolder).IsBf16Fast);
}
