using CsCheck;
using Pipeline.Protocol.Links;
using Xunit;

namespace Pipeline.Tests.Protocol.Links;

public sealed class LinkAddressTests
{
    private static readonly LinkAddress Here = new("a", 1, "host-1", Path.GetTempPath(), "10.0.0.1", 4711, "akka.tcp://links@10.0.0.1:4712");

    [Fact]
    public void An_address_comes_back_from_its_text()
    {
        var text = Gen.String[Gen.Char['\u0020', '\u00ff'], 0, 20];
        Gen.Select(text, Gen.ULong, text, text, text, Gen.Int[0, 65_535], text)
            .Select((node, incarnation, host, unix, tcp, port, akka) => new LinkAddress(node, incarnation, host, unix, tcp, port, akka))
            .Sample(address => Assert.Equal(address, LinkAddressText.Parse(LinkAddressText.Of(address))));
    }

    [Theory]
    [InlineData("")]
    [InlineData("a|b")]
    [InlineData("a|zz|c|d|e|1|f")]
    [InlineData("a|1|c|d|e|65536|f")]
    [InlineData("a|1|c|d|e|-1|f")]
    public void Other_text_is_refused(string text) => Assert.Throws<FormatException>(() => LinkAddressText.Parse(text));

    [Fact]
    public void The_choice_is_unix_on_one_host_and_tcp_between_hosts_unless_the_setting_says_otherwise()
    {
        var folder = Directory.CreateTempSubdirectory();
        var socket = Path.Combine(folder.FullName, "l");
        File.WriteAllText(socket, "");
        var near = Here with { UnixPath = socket };
        var far = near with { Host = "host-2" };
        Assert.Equal(LinkKind.Unix, LinkKinds.Between(LinkKindChoice.Automatic, Here, near, hasCredentials: true));
        Assert.Equal(LinkKind.Tls, LinkKinds.Between(LinkKindChoice.Automatic, Here, far, hasCredentials: true));
        Assert.Equal(LinkKind.Tcp, LinkKinds.Between(LinkKindChoice.Tcp, Here, near, hasCredentials: false));
        Assert.Equal(LinkKind.Akka, LinkKinds.Between(LinkKindChoice.Akka, Here, near, hasCredentials: false));
        Assert.Equal(LinkKind.Akka, LinkKinds.Between(LinkKindChoice.Automatic, Here, far with { TcpPort = 0 }, hasCredentials: false));
        Assert.Contains("link.kind", Assert.Throws<ArgumentException>(() => LinkKinds.Between(LinkKindChoice.Unix, Here, far, hasCredentials: false)).Message, StringComparison.Ordinal);
        folder.Delete(recursive: true);
    }
}
