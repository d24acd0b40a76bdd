using System.Diagnostics;
using System.Net;
using System.Net.Sockets;

namespace Pipeline.Tests.Storage;

/// <summary>
/// The S3 server of the npm package fauxqs, in a process of its own. <c>PIPELINE_FAUXQS</c> names a folder in which
/// <c>npm install fauxqs@1.9.2</c> was run; without it, or without node, tests that need it are skipped by name.
/// </summary>
internal sealed class FauxqsServer : IDisposable
{
    private readonly Process _process;

    private FauxqsServer(Process process, int port) => (_process, Endpoint) = (process, $"http://127.0.0.1:{port}");

    public string Endpoint { get; }

    /// <summary>The program to start; null where it is not there.</summary>
    public static string? Program()
    {
        var folder = Environment.GetEnvironmentVariable("PIPELINE_FAUXQS");
        if (folder is null) return null;
        var program = Path.Combine(folder, "node_modules", ".bin", "fauxqs");
        return File.Exists(program) ? program : null;
    }

    public static async Task<FauxqsServer> StartAsync(string program)
    {
        var port = FreePort();
        ProcessStartInfo start = new(program) { UseShellExecute = false, RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true };
        start.Environment["FAUXQS_PORT"] = $"{port}";
        start.Environment["FAUXQS_HOST"] = "127.0.0.1";
        var process = Process.Start(start)!;
        process.OutputDataReceived += (_, _) => { };
        process.ErrorDataReceived += (_, _) => { };
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        FauxqsServer server = new(process, port);
        using CancellationTokenSource limit = new(TimeSpan.FromMinutes(2));
        while (!await AnswersAsync(port)) await Task.Delay(100, limit.Token);
        return server;
    }

    public void Dispose()
    {
        _process.Kill(entireProcessTree: true);
        _process.WaitForExit(5000);
        _process.Dispose();
    }

    private static async Task<bool> AnswersAsync(int port)
    {
        try
        {
            using TcpClient client = new();
            await client.ConnectAsync(IPAddress.Loopback, port);
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }

    private static int FreePort()
    {
        using TcpListener listener = new(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }
}
