using CsCheck;
using Pipeline.Reduction;
using Xunit;

namespace Pipeline.Tests.Reduction;

public sealed class ReplicaGroupsTests
{
    [Theory]
    [InlineData("0-3", "0,1,2,3")]
    [InlineData("0-1;3,2", "0,1;2,3")]
    [InlineData("2;0-1;3-5", "2;0,1;3,4,5")]
    public void Groups_are_read_as_people_write_them(string text, string plain)
    {
        var groups = ReplicaGroups.Parse(text)!;
        Assert.Equal(plain, groups.Text);
        Assert.Equal(groups, ReplicaGroups.Parse(plain));
    }

    [Theory]
    [InlineData("")]
    [InlineData("1")]
    [InlineData("0;0")]
    [InlineData("0-2;2")]
    [InlineData("0;2")]
    [InlineData("1-0")]
    [InlineData("0;")]
    [InlineData("-1")]
    [InlineData("0-99999999999")]
    [InlineData("0-1-2")]
    public void What_does_not_name_each_replica_once_is_none(string text) => Assert.Null(ReplicaGroups.Parse(text));

    [Fact]
    public void Any_number_of_replicas_is_grouped_once_by_machine_by_name_and_by_size() =>
        Gen.Select(Gen.Int[1, 9], Gen.Int[0, 3].Array[9], Gen.Int[1, 5]).Sample((count, machines, size) =>
        {
            foreach (var settings in new[]
            {
                new ReductionSettings { GroupsByMachine = true }, new ReductionSettings { GroupSize = size }, new ReductionSettings { Groups = ReplicaGroups.Parse("1,3;0,2,4") },
            })
            {
                var groups = settings.GroupsOf(count, machines);
                Assert.Equal(Enumerable.Range(0, count), groups.SelectMany(group => group).Order());
                Assert.All(groups, group => Assert.NotEmpty(group));
                if (settings.GroupsByMachine) Assert.All(groups, group => Assert.Single(group.Select(replica => machines[replica]).Distinct()));
            }

            Assert.Single(new ReductionSettings { GroupsByMachine = true }.GroupsOf(count));
        });
}
