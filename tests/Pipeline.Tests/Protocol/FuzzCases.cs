using System.Globalization;
using Pipeline.Tests.Protocol.Links;

namespace Pipeline.Tests.Protocol;

/// <summary>
/// How the wire's readers are fuzzed: valid bytes are spoilt, the same way for the same seed. Each test takes some thousand cases; with
/// <c>./pipeline.sh test --full</c> a million, with <c>PIPELINE_FUZZ_CASES</c> so many, with <c>PIPELINE_FUZZ_SEED</c> from that seed on.
/// </summary>
internal static class FuzzCases
{
    private static string Default => Environment.GetEnvironmentVariable("PIPELINE_TESTS") == "full" ? "1000000" : "5000";

    private static int Count => int.Parse(Environment.GetEnvironmentVariable("PIPELINE_FUZZ_CASES") ?? Default, CultureInfo.InvariantCulture);

    private static int FirstSeed => int.Parse(Environment.GetEnvironmentVariable("PIPELINE_FUZZ_SEED") ?? "1", CultureInfo.InvariantCulture);

    /// <summary>Has spoilt bytes read; a failure names its seed and the bytes.</summary>
    /// <param name="valid">What is spoilt, each in turn.</param>
    /// <param name="read">Reads bytes that were made of the given one.</param>
    /// <param name="isAllowed">Whether reading may end so.</param>
    /// <param name="maxAllocation">Bytes that reading may take.</param>
    internal static void Run(byte[][] valid, Action<int, byte[]> read, Func<Exception, bool> isAllowed, long maxAllocation)
    {
        // What is made once is not counted.
        for (var index = 0; index < valid.Length; index++) read(index, valid[index]);
        for (var seed = FirstSeed; seed < FirstSeed + Count; seed++)
        {
            var index = seed % valid.Length;
            var bytes = WireFuzz.Mutate(valid[index], new Random(seed));
            Allocations.AssertAtMost(maxAllocation, () => Read(seed, index, bytes), () => $"Seed {seed}, {bytes.Length} bytes: {Convert.ToHexString(bytes)}");
        }

        void Read(int seed, int index, byte[] bytes)
        {
            try
            {
                read(index, bytes);
            }
            catch (Exception fault) when (isAllowed(fault))
            {
                // What is wanted of most of these bytes.
            }
            catch (Exception fault)
            {
                throw new InvalidOperationException($"Seed {seed}: {Convert.ToHexString(bytes)}", fault);
            }
        }
    }
}
