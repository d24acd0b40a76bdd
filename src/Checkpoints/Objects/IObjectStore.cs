namespace Pipeline.Checkpoints.Objects;

/// <summary>An object as a listing shows it.</summary>
/// <param name="Key">Its whole key.</param>
/// <param name="ByteCount">Its size.</param>
public sealed record StoredObject(string Key, long ByteCount);

/// <summary>
/// The few operations of an object store that checkpoints need. An object appears whole or not at all, and is never changed in place; no
/// conditional writes are asked for, since not every server keeps them. Every fault is a <see cref="CheckpointException"/>.
/// </summary>
public interface IObjectStore
{
    /// <summary>For messages, such as <c>s3://bucket</c>.</summary>
    string Address { get; }

    /// <summary>Writes an object from a stream that can seek, from its beginning.</summary>
    void Put(string key, Stream content);

    /// <summary>Copies an object into a stream.</summary>
    void Get(string key, Stream destination);

    /// <summary>All objects whose keys begin with a prefix, by key.</summary>
    IReadOnlyList<StoredObject> List(string prefix);

    /// <summary>Removes objects; those that are not there are no fault.</summary>
    void Delete(IReadOnlyList<string> keys);
}
