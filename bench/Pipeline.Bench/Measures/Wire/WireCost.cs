using Pipeline.Bench.Reports;
using Pipeline.Protocol.Links;
using Pipeline.Protocol.Security;

namespace Pipeline.Bench.Measures.Wire;

/// <summary>What a link costs over the bare socket under it: rate and processor time, by frame size.</summary>
internal static class WireCost
{
    private static readonly int[] FrameSizes = [64 << 10, 256 << 10, 1 << 20, 4 << 20, 16 << 20];
    private static readonly TimeSpan CertificateValidity = TimeSpan.FromDays(1);

    /// <summary>Measures all kinds.</summary>
    public static BenchReport Measure(BenchOptions options)
    {
        using var authority = RunAuthority.Create("bench", CertificateValidity, TimeProvider.System);
        using var credentials = new PeerCredentials(
            System.Security.Cryptography.X509Certificates.X509CertificateLoader.LoadCertificate(authority.Certificate.RawData),
            authority.Issue(new CertificateOrder("bench", PeerRoles.Stage, ["127.0.0.1"], CertificateValidity / 2)),
            TimeProvider.System);
        var memory = (From: new WireMemory(FrameSizes[^1]), To: new WireMemory(FrameSizes[^1]));
        Comparison[] comparisons =
        [
            new("unix", 0.80, 768, () => BareWay.Unix(memory.From, memory.To), () => new LinkWay(LinkKindChoice.Unix, false, null, memory.From, memory.To)),
            new("unix, checksum", 0.65, 768, () => BareWay.Unix(memory.From, memory.To), () => new LinkWay(LinkKindChoice.Unix, true, null, memory.From, memory.To)),
            new("tcp", 0.80, 512, () => BareWay.Tcp(null, memory.From, memory.To), () => new LinkWay(LinkKindChoice.Tcp, false, null, memory.From, memory.To)),
            new("tcp, checksum", 0.65, 512, () => BareWay.Tcp(null, memory.From, memory.To), () => new LinkWay(LinkKindChoice.Tcp, true, null, memory.From, memory.To)),
            new("tls", 0.80, 192, () => BareWay.Tcp(credentials, memory.From, memory.To), () => new LinkWay(LinkKindChoice.Tcp, false, credentials, memory.From, memory.To)),
            new("akka", null, 32, null, () => new LinkWay(LinkKindChoice.Akka, true, null, memory.From, memory.To)),
        ];
        var wanted = comparisons.Where(comparison => options.WireKind is null || comparison.Name.StartsWith(options.WireKind, StringComparison.Ordinal));
        return new BenchReport(
            "wire",
            "Links against the sockets under them",
            "Both ends in one process, over real sockets; one buffer is sent and one received into, the same for both; pairs in turn, medians. "
            + "The bare socket has neither header nor receipt. CPU: of both ends together. Ratio: the link's rate over that of the bare socket, the median of the pairs.",
            ["kind", "frame KiB", "MiB/s", "bare MiB/s", "ratio", "bound", "CPU s/GiB", "bare CPU s/GiB"],
            [.. wanted.SelectMany(comparison => comparison.Rows(FrameSizes, options.PairCount ?? (options.IsQuick ? 1 : 7), options.IsQuick))]);
    }

    private sealed record Comparison(string Name, double? Bound, int Mebibytes, Func<IWireWay>? Bare, Func<IWireWay> Link)
    {
        internal IEnumerable<IReadOnlyList<string>> Rows(int[] sizes, int pairCount, bool isQuick)
        {
            using var bare = Bare?.Invoke();
            using var link = Link();
            var total = isQuick ? 16 : Mebibytes;
            List<IReadOnlyList<string>> rows = [];
            foreach (var size in sizes)
            {
                var count = Math.Max(2, (int)(((long)total << 20) / size));
                if (bare is not null) Rate(bare, size, count / 4 + 1);
                Rate(link, size, count / 4 + 1);
                var pairs = Enumerable.Range(0, pairCount).Select(_ => (Bare: bare is null ? default : Rate(bare, size, count), Link: Rate(link, size, count))).ToArray();
                rows.Add(Row(size, pairs, bare is not null));
            }

            return rows;
        }

        private static (double Rate, double Cpu) Rate(IWireWay way, int size, int count)
        {
            var elapsed = Elapsed.Of(() => way.Transfer(size, count));
            var bytes = (double)size * count;
            return (bytes / (1 << 20) / elapsed.WallSeconds, elapsed.CpuSeconds / (bytes / (1 << 30)));
        }

        private string[] Row(int size, ((double Rate, double Cpu) Bare, (double Rate, double Cpu) Link)[] pairs, bool hasBare)
        {
            var ratio = Distribution.Median(pairs.Select(pair => pair.Link.Rate / pair.Bare.Rate));
            return
            [
                Name, $"{size >> 10}", $"{Distribution.Median(pairs.Select(pair => pair.Link.Rate)):F0}",
                hasBare ? $"{Distribution.Median(pairs.Select(pair => pair.Bare.Rate)):F0}" : "", hasBare ? $"{ratio:F2}" : "",
                Bound is { } bound ? $"{bound:F2} {(ratio >= bound ? "holds" : "missed")}" : "",
                $"{Distribution.Median(pairs.Select(pair => pair.Link.Cpu)):F2}", hasBare ? $"{Distribution.Median(pairs.Select(pair => pair.Bare.Cpu)):F2}" : "",
            ];
        }
    }
}
