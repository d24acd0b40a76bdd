using CsCheck;
using Pipeline.Data;
using Xunit;

namespace Pipeline.Tests.Data;

public sealed class HoldOutSplitTests
{
    [Fact]
    public void Both_sides_get_a_document_and_the_share_is_kept_within_half_a_document() =>
        Gen.Select(Gen.Long[1, 10_000].Array[2, 200], Gen.Double[0.01, 0.5]).Sample((lengths, share) =>
        {
            bool[] isHeldOut = HoldOutSplit.Choose(lengths, share);
            Assert.Contains(true, isHeldOut);
            Assert.Contains(false, isHeldOut);
            long chosen = lengths.Where((_, i) => isHeldOut[i]).Sum();
            if (isHeldOut.Count(held => held) > 1)
                Assert.True(chosen <= (share * lengths.Sum()) + (lengths.Max() / 2.0));
            Assert.Equal(isHeldOut, HoldOutSplit.Choose(lengths, share));
        });

    [Fact]
    public void Documents_of_one_size_are_chosen_evenly_and_in_the_right_number()
    {
        bool[] isHeldOut = HoldOutSplit.Choose(Enumerable.Repeat(100L, 1000).ToArray(), 0.05);
        Assert.InRange(isHeldOut.Count(held => held), 45, 50);
        for (int tenth = 0; tenth < 10; tenth++)
            Assert.InRange(isHeldOut.Skip(tenth * 100).Take(100).Count(held => held), 3, 7);
    }

    [Fact]
    public void One_huge_document_among_small_ones_is_learnt() =>
        Assert.False(HoldOutSplit.Choose([10, 10, 10, 1000, 10, 10, 10], 0.05)[3]);

    [Fact]
    public void Of_two_documents_the_smaller_is_held_out()
    {
        Assert.Equal([false, true], HoldOutSplit.Choose([900, 300], 0.05));
        Assert.Equal([true, false], HoldOutSplit.Choose([300, 900], 0.05));
    }

    [Fact]
    public void A_lone_text_is_cut_between_words_and_never_inside_a_character()
    {
        Assert.Equal(" ten", "one two three four five six seven eight nine ten"[HoldOutSplit.CutOf("one two three four five six seven eight nine ten", 0.1)..]);
        Gen.Select(TextGenerators.Unicode.Where(text => text.Length > 1), Gen.Double[0.01, 0.5]).Sample((text, share) =>
        {
            int cut = HoldOutSplit.CutOf(text, share);
            Assert.False(cut > 0 && cut < text.Length && char.IsSurrogatePair(text, cut - 1));
        });
    }
}
