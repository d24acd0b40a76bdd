using Amazon;
using Amazon.Runtime;
using Amazon.S3;
using Amazon.S3.Model;
using Amazon.S3.Transfer;
using Pipeline.Checkpoints;
using Pipeline.Checkpoints.Objects;

namespace Pipeline.Storage;

/// <summary>Where checkpoints lie in S3 or a server that speaks like it.</summary>
/// <param name="Bucket">Bucket; it must exist.</param>
/// <param name="Prefix">Prefix of the run's keys.</param>
/// <param name="Endpoint">Address of a server that is not Amazon's, such as <c>http://storage:9000</c>; null for Amazon's.</param>
/// <param name="Region">Region; null for the one that the environment names.</param>
public sealed record S3Settings(string Bucket, string Prefix, string? Endpoint, string? Region);

/// <summary>
/// An S3 bucket. Credentials come from where Amazon's SDK finds them (environment, profile, role) and are never read or shown here. Calls
/// block their thread, which is the one that saves, never an actor's.
/// </summary>
internal sealed class S3Objects : IObjectStore, IDisposable
{
    private const int KeysPerDelete = 1000;
    private readonly AmazonS3Client _client;
    private readonly TransferUtility _transfer;
    private readonly string _bucket;

    internal S3Objects(S3Settings settings)
    {
        _bucket = settings.Bucket;
        AmazonS3Config config = new() { RetryMode = RequestRetryMode.Standard, MaxErrorRetry = 4 };
        if (settings.Region is { } region) config.RegionEndpoint = RegionEndpoint.GetBySystemName(region);
        if (settings.Endpoint is { } endpoint)
        {
            config.ServiceURL = endpoint;
            config.ForcePathStyle = true;
            config.AuthenticationRegion = settings.Region ?? "us-east-1";
            // Servers other than Amazon's store the SDK's checksum trailers as data, or refuse them.
            config.RequestChecksumCalculation = RequestChecksumCalculation.WHEN_REQUIRED;
            config.ResponseChecksumValidation = ResponseChecksumValidation.WHEN_REQUIRED;
        }

        _client = new AmazonS3Client(config);
        _transfer = new TransferUtility(_client);
    }

    /// <inheritdoc/>
    public string Address => $"s3://{_bucket}";

    /// <inheritdoc/>
    public void Put(string key, Stream content) => Guarded(key, "write", () =>
        _transfer.UploadAsync(new TransferUtilityUploadRequest { BucketName = _bucket, Key = key, InputStream = content, AutoCloseStream = false }));

    /// <inheritdoc/>
    public void Get(string key, Stream destination) => Guarded(key, "read", async () =>
    {
        using var response = await _client.GetObjectAsync(_bucket, key).ConfigureAwait(false);
        await response.ResponseStream.CopyToAsync(destination).ConfigureAwait(false);
    });

    /// <inheritdoc/>
    public IReadOnlyList<StoredObject> List(string prefix)
    {
        List<StoredObject> found = [];
        Guarded(prefix, "list", async () =>
        {
            ListObjectsV2Request request = new() { BucketName = _bucket, Prefix = prefix };
            ListObjectsV2Response page;
            do
            {
                page = await _client.ListObjectsV2Async(request).ConfigureAwait(false);
                found.AddRange((page.S3Objects ?? []).Select(item => new StoredObject(item.Key, item.Size ?? 0)));
                request.ContinuationToken = page.NextContinuationToken;
            }
            while (page.IsTruncated == true);
        });
        return found;
    }

    /// <inheritdoc/>
    public void Delete(IReadOnlyList<string> keys)
    {
        foreach (var batch in keys.Chunk(KeysPerDelete))
        {
            Guarded(batch[0], "remove", () => _client.DeleteObjectsAsync(new DeleteObjectsRequest
            {
                BucketName = _bucket,
                Objects = [.. batch.Select(key => new KeyVersion { Key = key })],
            }));
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _transfer.Dispose();
        _client.Dispose();
    }

    private void Guarded(string key, string verb, Func<Task> call)
    {
        try
        {
            call().GetAwaiter().GetResult();
        }
        catch (Exception fault) when (fault is AmazonClientException or AmazonServiceException or HttpRequestException or IOException or TaskCanceledException)
        {
            throw new CheckpointException($"Cannot {verb} {Address}/{key}: {fault.Message.TrimEnd('.')}. {Remedy(fault)} The checkpoints saved before are untouched.", fault);
        }
    }

    private string Remedy(Exception fault) => fault switch
    {
        AmazonS3Exception { ErrorCode: "NoSuchBucket" } => $"Create the bucket {_bucket}, or correct checkpoint.bucket.",
        AmazonServiceException { StatusCode: System.Net.HttpStatusCode.Forbidden } => "Check the credentials and what they permit on the bucket.",
        AmazonClientException { Message: var message } when message.Contains("credentials", StringComparison.OrdinalIgnoreCase) =>
            "Give credentials as for Amazon's own tools: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or a role.",
        _ => "Check checkpoint.endpoint and the network.",
    };
}
