namespace Pipeline.Checkpoints;

/// <summary>
/// Holds a manifest to its own rules before anything acts on it: a manifest may come from anywhere, and its file names become paths.
/// </summary>
internal static class ManifestValidator
{
    /// <summary>The first thing that is wrong, or null.</summary>
    internal static string? FindFault(CheckpointManifest manifest)
    {
        if (manifest.Version != CheckpointManifest.CurrentVersion)
            return $"it has version {manifest.Version}, this program reads version {CheckpointManifest.CurrentVersion}";
        if (manifest.Step < 0)
            return $"its step is {manifest.Step}";
        // JSON may hold null where a list of records is declared; the serializer does not look into lists.
        if (manifest.Files.Contains(null!) || manifest.Tensors.Any(tensor => tensor is null || tensor.Slices.Contains(null!)))
            return "one of its lists holds null";
        var files = new HashSet<string>(StringComparer.OrdinalIgnoreCase) { CheckpointFileName.Manifest };
        return manifest.Files.Select(file => FindFault(file, files)).FirstOrDefault(fault => fault is not null)
            ?? FindTensorFault(manifest, files);
    }

    private static string? FindFault(CheckpointFile file, HashSet<string> files)
    {
        if (!CheckpointFileName.IsPlain(file.Name))
            return $"the file name '{file.Name}' would leave the checkpoint's folder or is not plain";
        if (!files.Add(file.Name))
            return $"the file {file.Name} is listed twice";
        if (file.ByteCount < 0 || !ContentHash.IsWellFormed(file.Hash))
            return $"the size or hash of {file.Name} is impossible";
        return null;
    }

    private static string? FindTensorFault(CheckpointManifest manifest, HashSet<string> files)
    {
        var names = new HashSet<string>(StringComparer.Ordinal);
        foreach (var tensor in manifest.Tensors)
        {
            if (!names.Add(tensor.Name))
                return $"the tensor '{tensor.Name}' is listed twice";
            if (FindFault(tensor, files) is { } fault)
                return $"tensor '{tensor.Name}': {fault}";
        }

        return null;
    }

    private static string? FindFault(LogicalTensor tensor, HashSet<string> files)
    {
        if (!TensorTypes.IsKnown(tensor.DType))
            return $"the dtype '{tensor.DType}' is unknown";
        if (tensor.Shape.Count > TensorTypes.MaxDimensionCount
            || !TensorTypes.TryByteCount(TensorTypes.ElementByteCount(tensor.DType), tensor.Shape, out _))
            return $"the shape [{string.Join(", ", tensor.Shape)}] is impossible";
        var expectedCount = tensor.Shape.Count == 0 ? 1 : tensor.Shape[0];
        long end = 0;
        foreach (var slice in tensor.Slices)
        {
            if (!files.Contains(slice.File) || !CheckpointFileName.HoldsTensors(slice.File))
                return $"its file '{slice.File}' is not one of the checkpoint's";
            if (!ContentHash.IsWellFormed(slice.Hash))
                return "its hash is impossible";
            if (slice.Start != end || slice.Count < 0 || slice.Count > expectedCount - end)
                return $"a slice covers {slice.Count} from {slice.Start} on, expected one that begins at {end} and stays within {expectedCount}";
            end += slice.Count;
        }

        return tensor.Slices.Count > 0 && end == expectedCount ? null : $"its slices cover {end} of {expectedCount} on the first axis";
    }
}
