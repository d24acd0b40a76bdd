using System.Xml.Linq;
using Pipeline.Runs;
using Xunit;

namespace Pipeline.Tests.Runs;

public sealed class DensityPlotTests
{
    private static readonly DensityGrid s_grid = new(
        "A map & its title", ["0–1", "2–3"], 4, 2.5, ["F", "B"], (band, slice, group) => (band, slice, group) switch
        {
            (0, 0 or 1, 0) => 1,
            (0, 2, 1) => 0.5f,
            (1, 3, 0) => 0.25f,
            (1, 3, 1) => 0.75f,
            _ => 0,
        });

    [Fact]
    public void Cells_of_one_colour_are_one_path_and_neighbours_one_rectangle()
    {
        var picture = XDocument.Parse(DensityPlot.Draw(s_grid));
        var paths = picture.Descendants().Where(element => element.Name.LocalName == "path").ToArray();
        // Forward, half a backward, the mixture, idle.
        Assert.Equal(4, paths.Length);
        var forward = Assert.Single(paths, path => path.Attribute("fill")!.Value == "#4f86e8");
        Assert.Equal(1, forward.Attribute("d")!.Value.Count(character => character == 'M'));
        Assert.Contains(picture.Descendants(), element => element.Value == "A map & its title");
    }

    [Fact]
    public void The_same_grid_gives_the_same_picture() => Assert.Equal(DensityPlot.Draw(s_grid), DensityPlot.Draw(s_grid));

    [Fact]
    public void A_large_map_stays_small()
    {
        var grid = s_grid with { BandLabels = [.. Enumerable.Range(0, 256).Select(band => $"{band}")], SliceCount = 480, Share = (band, slice, group) => (band + slice + group) % 5 / 5f };
        Assert.InRange(DensityPlot.Draw(grid).Length, 10_000, 6_000_000);
    }
}
