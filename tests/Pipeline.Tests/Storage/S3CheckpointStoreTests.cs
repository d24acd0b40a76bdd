using Amazon.Runtime;
using Amazon.S3;
using Pipeline.Checkpoints;
using Pipeline.Storage;
using Pipeline.Tests.Checkpoints;
using Pipeline.Tests.Runs;
using Xunit;

namespace Pipeline.Tests.Storage;

/// <summary>Against a real S3 server where there is one. The rules of the store are tested without it.</summary>
public sealed class S3CheckpointStoreTests
{
    private const string Bucket = "pipeline-test";

    [SkippableFact]
    public async Task Checkpoints_are_saved_listed_read_and_pruned_in_a_bucket()
    {
        var program = FauxqsServer.Program();
        Skip.If(program is null, "No S3 server: set PIPELINE_FAUXQS to a folder with `npm install fauxqs@1.9.2`.");
        using var server = await FauxqsServer.StartAsync(program!);
        using TemporaryFolder folder = new();
        using EnvironmentCredentials credentials = new();
        await CreateBucketAsync(server.Endpoint);
        S3Settings settings = new(Bucket, "team/run-7", server.Endpoint, "us-east-1");
        var store = S3CheckpointStore.Open(settings, folder.In("a"));
        foreach (var step in new long[] { 10, 20, 30 }) SampleCheckpoint.Save(store, step);
        // More than a part of a multipart upload, so that that way is gone too.
        var large = store.WriteTensors(new(40, 0), CheckpointFileName.Model(0, 1), [SampleCheckpoint.Source("large", TensorTypes.U8, [24_000_000], 40)]);
        store.Commit(new(40, 0), SampleCheckpoint.Description, [large]);

        var elsewhere = S3CheckpointStore.Open(settings, folder.In("b"));
        Assert.Equal([40L, 30L, 20L, 10L], elsewhere.List(verify: true).Where(item => item.State == CheckpointState.Complete).Select(item => item.Step));
        using (var reader = elsewhere.Open(20)) SampleCheckpoint.AssertHolds(reader, 20);
        using (var reader = elsewhere.OpenLatest().Require())
        {
            var bytes = new byte[24_000_000];
            reader.ReadInto("large", 0, bytes);
            Assert.Equal(SampleCheckpoint.Expected("large", 40, 1, bytes.Length), bytes);
        }

        Assert.Equal([20L, 10L], elsewhere.Prune(2).Steps);
        Assert.Equal([40L, 30L], store.List().Select(item => item.Step));
    }

    [SkippableFact]
    public async Task A_bucket_that_is_not_there_is_an_error_with_a_remedy()
    {
        var program = FauxqsServer.Program();
        Skip.If(program is null, "No S3 server: set PIPELINE_FAUXQS to a folder with `npm install fauxqs@1.9.2`.");
        using var server = await FauxqsServer.StartAsync(program!);
        using TemporaryFolder folder = new();
        using EnvironmentCredentials credentials = new();
        var store = S3CheckpointStore.Open(new("nowhere", "x", server.Endpoint, "us-east-1"), folder.Folder);
        var fault = Assert.Throws<CheckpointException>(() => SampleCheckpoint.Save(store, 1));
        Assert.Contains("s3://nowhere/", fault.Message, StringComparison.Ordinal);
        Assert.DoesNotContain(EnvironmentCredentials.Secret, fault.ToString(), StringComparison.Ordinal);
    }

    private static async Task CreateBucketAsync(string endpoint)
    {
        using AmazonS3Client client = new(new BasicAWSCredentials("test", EnvironmentCredentials.Secret), new AmazonS3Config { ServiceURL = endpoint, ForcePathStyle = true, AuthenticationRegion = "us-east-1" });
        await client.PutBucketAsync(Bucket);
    }

    /// <summary>Credentials where the SDK looks for them, for the time of a test.</summary>
    private sealed class EnvironmentCredentials : IDisposable
    {
        public const string Secret = "not-really-a-secret-4711";

        public EnvironmentCredentials() => Set("test", Secret);

        public void Dispose() => Set(null, null);

        private static void Set(string? key, string? secret)
        {
            Environment.SetEnvironmentVariable("AWS_ACCESS_KEY_ID", key);
            Environment.SetEnvironmentVariable("AWS_SECRET_ACCESS_KEY", secret);
        }
    }
}
