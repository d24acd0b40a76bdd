using System.Globalization;
using Pipeline.Checkpoints;
using Pipeline.Protocol;

namespace Pipeline.Stages;

/// <summary>
/// Copies of ranks' states as files that every node of a run can read: one safetensors file a rank and step, the two newest of each rank.
/// A file appears under its name only once it is whole.
/// </summary>
internal sealed class CopyFolder(string folder)
{
    private const int KeptCount = 2;
    private const int PieceLength = 1 << 20;

    /// <summary>Writes a copy and removes those that it supersedes. Blocks on the disk: for tasks.</summary>
    /// <exception cref="IOException">The disk is full or the like.</exception>
    internal void Write(StateCopy copy)
    {
        Directory.CreateDirectory(folder);
        var path = PathOf(copy.Id);
        var aside = path + ".part";
        using (var file = File.Create(aside))
        {
            new SafetensorsWriter(copy.Sources()).WriteTo(Path.GetFileName(path), file);
            file.Flush(flushToDisk: true);
        }

        File.Move(aside, path, overwrite: true);
        foreach (var old in Directory.GetFiles(folder, $"{Prefix(copy.Id)}*.safetensors").OrderByDescending(StepOf).Where(other => StepOf(other) < copy.Id.Step).Skip(KeptCount - 1))
            File.Delete(old);
    }

    /// <summary>Reads a copy, which the caller owns.</summary>
    /// <exception cref="CheckpointException">It is not there or damaged.</exception>
    internal StateCopy Read(CopyId id)
    {
        using var file = SafetensorsReader.Open(PathOf(id));
        var tensors = file.Header.Entries.Select(entry => new CopyTensor(entry.Name, entry.DType, entry.Shape)).ToArray();
        var copy = new StateCopy(id, tensors, file.Header.Entries.Sum(entry => entry.ByteCount), CopyMemory.None);
        var piece = new byte[PieceLength];
        long place = 0;
        foreach (var entry in file.Header.Entries)
        {
            for (long offset = 0; offset < entry.ByteCount; offset += PieceLength)
            {
                var bytes = piece.AsSpan(0, (int)Math.Min(PieceLength, entry.ByteCount - offset));
                file.ReadTensor(entry.Name, offset, bytes);
                copy.Write(place, bytes);
                place += bytes.Length;
            }
        }

        return copy;
    }

    private static string Prefix(CopyId id) => string.Create(CultureInfo.InvariantCulture, $"{id.Run}-{id.PartitionedIn}-rank-{id.Rank}-step-");

    private static long StepOf(string path) =>
        long.Parse(Path.GetFileNameWithoutExtension(path).AsSpan(Path.GetFileNameWithoutExtension(path).LastIndexOf('-') + 1), CultureInfo.InvariantCulture);

    private string PathOf(CopyId id) => Path.Combine(folder, string.Create(CultureInfo.InvariantCulture, $"{Prefix(id)}{id.Step}.safetensors"));
}
