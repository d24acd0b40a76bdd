using Pipeline.Chaos;
using Xunit;
using Xunit.Abstractions;

[assembly: TestCollectionOrderer("Pipeline.Cluster.Tests.BusyFirst", "Pipeline.Cluster.Tests")]

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

/// <summary>The longest collection first, and then those that may run beside it: what begins last should be short.</summary>
public sealed class BusyFirst : ITestCollectionOrderer
{
    /// <inheritdoc/>
    public IEnumerable<ITestCollection> OrderTestCollections(IEnumerable<ITestCollection> testCollections) =>
        testCollections.OrderByDescending(collection => collection.DisplayName == BusyCollection.Name)
            .ThenByDescending(collection => collection.DisplayName.Contains(nameof(ReplicaTests), StringComparison.Ordinal));
}
