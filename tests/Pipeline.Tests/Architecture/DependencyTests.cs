using System.Reflection;
using System.Xml.Linq;
using Xunit;

namespace Pipeline.Tests.Architecture;

/// <summary>Holds the table of rooms: who may know whom. Project files say what is allowed, assemblies what is used.</summary>
public sealed class DependencyTests
{
    private static readonly Dictionary<string, string[]> Rooms = new(StringComparer.Ordinal)
    {
        ["Data"] = [],
        ["Model"] = [],
        ["Schedules"] = [],
        ["Runs"] = [],
        ["Checkpoints"] = [],
        // Object stores of other makers, kept out of the rooms that train.
        ["Storage"] = ["Checkpoints"],
        ["Protocol"] = ["Schedules"],
        ["Reduction"] = [],
        ["Stages"] = ["Model", "Data", "Schedules", "Protocol", "Reduction", "Checkpoints"],
        ["Coordinator"] = ["Schedules", "Protocol", "Reduction", "Checkpoints", "Runs", "Data"],
        // The composition of a run within one process: the one library that sees both sides.
        ["Training"] = ["Model", "Schedules", "Protocol", "Reduction", "Checkpoints", "Stages", "Coordinator"],
        // Commands to a run under way, whichever way they come, and what has been seen of it.
        ["Operator"] = ["Schedules", "Protocol", "Checkpoints", "Runs", "Coordinator"],
        // The same for browsers and for what collects metrics: the one library that serves HTTP.
        ["Dashboard"] = ["Operator", "Coordinator", "Protocol", "Runs"],
        // A process of a cluster: hosts stages, leads runs, follows membership.
        ["Nodes"] = ["Operator", "Training", "Data", "Model", "Schedules", "Protocol", "Reduction", "Checkpoints", "Runs", "Stages", "Coordinator"],
        ["Cli"] = ["Dashboard", "Operator", "Nodes", "Storage", "Training", "Data", "Model", "Schedules", "Protocol", "Reduction", "Checkpoints", "Runs", "Stages", "Coordinator"],
    };

    private static readonly string Root = FindRoot();

    public static TheoryData<string> RoomNames => new(Rooms.Keys);

    [Fact]
    public void Every_room_is_in_the_table() =>
        Assert.Equal(Rooms.Keys.Order(), Directory.GetDirectories(Path.Combine(Root, "src")).Select(folder => Path.GetFileName(folder)).Order());

    [Theory]
    [MemberData(nameof(RoomNames))]
    public void A_room_knows_only_the_rooms_that_the_table_allows(string room)
    {
        var projects = Items(room, "ProjectReference").Select(path => Path.GetFileNameWithoutExtension(path)["Pipeline.".Length..]);
        Assert.Empty(projects.Except(Rooms[room]));
        var assemblies = Assembly(room).GetReferencedAssemblies().Select(name => name.Name!)
            .Where(name => name.StartsWith("Pipeline.", StringComparison.Ordinal)).Select(name => name["Pipeline.".Length..]);
        Assert.Empty(assemblies.Except(Rooms[room]));
    }

    [Fact]
    public void Stages_and_coordinator_never_see_each_other()
    {
        Assert.DoesNotContain("Pipeline.Coordinator", Reachable("Stages"));
        Assert.DoesNotContain("Pipeline.Stages", Reachable("Coordinator"));
        Assert.DoesNotContain("Pipeline.Model", Reachable("Coordinator"));
    }

    [Theory]
    [InlineData("Data", "Akka", "TorchSharp", "MessagePack")]
    [InlineData("Model", "Akka", "MessagePack")]
    [InlineData("Schedules", "Akka", "TorchSharp", "MessagePack")]
    [InlineData("Runs", "Akka", "TorchSharp", "MessagePack")]
    [InlineData("Checkpoints", "Akka", "TorchSharp", "MessagePack")]
    [InlineData("Protocol", "TorchSharp")]
    [InlineData("Reduction", "TorchSharp", "Akka")]
    [InlineData("Coordinator", "TorchSharp")]
    public void A_room_is_free_of_what_is_not_its_business(string room, params string[] foreign)
    {
        var used = Items(room, "PackageReference").Concat(Assembly(room).GetReferencedAssemblies().Select(name => name.Name!)).ToArray();
        foreach (var package in foreign)
            Assert.DoesNotContain(used, name => name == package || name.StartsWith(package + ".", StringComparison.Ordinal));
    }

    [Fact]
    public void Only_the_executable_hosts()
    {
        foreach (var room in Rooms.Keys.Where(room => room != "Cli"))
            Assert.DoesNotContain(Items(room, "PackageReference"), name => name.Contains("Hosting", StringComparison.Ordinal));
    }

    [Fact]
    public void Only_leaves_carry_the_native_tensor_library()
    {
        foreach (var room in Rooms.Keys.Where(room => room != "Cli"))
        {
            Assert.DoesNotContain(Items(room, "PackageReference"), name => name.StartsWith("libtorch", StringComparison.Ordinal) || name.StartsWith("TorchSharp-", StringComparison.Ordinal));
            Assert.DoesNotContain(Project(room).Descendants("Import"), import => import.Attribute("Project")!.Value.EndsWith("Torch.props", StringComparison.Ordinal));
        }
    }

    [Fact]
    public void No_type_shares_the_last_word_of_a_namespace()
    {
        var words = Rooms.Keys.Append("Pipeline").ToHashSet(StringComparer.Ordinal);
        Assert.DoesNotContain(Rooms.Keys.SelectMany(room => Assembly(room).GetTypes()),
            type => type.Namespace?.StartsWith("Pipeline", StringComparison.Ordinal) == true && words.Contains(type.Name));
    }

    private static HashSet<string> Reachable(string room)
    {
        HashSet<string> seen = [];
        Queue<string> waiting = new(Items(room, "ProjectReference").Select(path => Path.GetFileNameWithoutExtension(path)));
        while (waiting.TryDequeue(out var project))
        {
            if (!seen.Add(project)) continue;
            foreach (var next in Items(project["Pipeline.".Length..], "ProjectReference")) waiting.Enqueue(Path.GetFileNameWithoutExtension(next));
        }

        return seen;
    }

    private static XDocument Project(string room) => XDocument.Load(Path.Combine(Root, "src", room, $"Pipeline.{room}.csproj"));

    private static IEnumerable<string> Items(string room, string kind) => Project(room).Descendants(kind).Select(item => item.Attribute("Include")!.Value);

    private static Assembly Assembly(string room) => System.Reflection.Assembly.Load(room == "Cli" ? "pipeline" : $"Pipeline.{room}");

    private static string FindRoot()
    {
        var folder = AppContext.BaseDirectory;
        while (!File.Exists(Path.Combine(folder, "Pipeline.sln")))
            folder = Path.GetDirectoryName(folder) ?? throw new InvalidOperationException($"No Pipeline.sln above {AppContext.BaseDirectory}.");
        return folder;
    }
}
