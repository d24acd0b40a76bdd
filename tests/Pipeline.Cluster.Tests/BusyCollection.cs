using Pipeline.Chaos;
using Xunit;

namespace Pipeline.Cluster.Tests;

/// <summary>
/// Tests that keep all cores busy, some of which count on how long things take: one after the other, with one set of the unsplit trainer's bits. What mostly waits
/// runs beside them, in collections of its own.
/// </summary>
[CollectionDefinition(Name)]
public sealed class BusyCollection : ICollectionFixture<TinyTraining>
{
    /// <summary>Its name.</summary>
    public const string Name = "busy";
}
