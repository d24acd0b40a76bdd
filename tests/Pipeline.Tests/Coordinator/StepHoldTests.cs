using Pipeline.Coordinator;
using Pipeline.Protocol;
using Pipeline.Stages;
using Xunit;
using static Pipeline.Protocol.StageProtocol;

namespace Pipeline.Tests.Coordinator;

/// <summary>Ranks that were granted many steps come to stand at one of the next: the two pure halves against a network that does what it wants, by a seed.</summary>
public sealed class StepHoldTests
{
    private const int ScheduleCount = 400;

    [Fact]
    public void Nobody_passes_the_boundary_that_a_hold_has_found_and_all_come_to_it_whatever_is_lost_doubled_or_late()
    {
        for (var seed = 1; seed <= ScheduleCount; seed++) Run(seed, kills: false);
    }

    [Fact]
    public void A_leader_that_dies_between_a_hold_and_its_grant_leaves_nobody_held()
    {
        for (var seed = 1; seed <= ScheduleCount; seed++) Run(seed, kills: true);
    }

    [Fact]
    public void An_answer_to_an_earlier_request_or_one_that_comes_twice_says_nothing()
    {
        StepHold hold = new();
        hold.Ask(2);
        Assert.Null(hold.Enter(0, 1, 7));
        hold.Cancel();
        Assert.Null(hold.Enter(1, 1, 9));
        hold.Ask(2);
        Assert.Equal((2, 1), (hold.Number, hold.GrantNumber));
        Assert.Null(hold.Enter(1, 1, 9));
        Assert.Null(hold.Enter(1, 2, 8));
        Assert.Null(hold.Enter(1, 2, 8));
        Assert.Equal([0], hold.Unheard);
        Assert.Equal(8, hold.Enter(0, 2, 7));
        Assert.Equal((false, 2), (hold.IsAsking, hold.GrantNumber));
    }

    [Fact]
    public void A_held_rank_is_released_by_a_grant_made_after_all_have_answered_or_by_a_newer_leader_and_by_no_earlier_one()
    {
        StageOrders orders = new();
        orders.StartAfter(5);
        orders.Grant(new GrantSteps(Generation.First, 100, 0, 0, 0, 0, 9), 5);
        Assert.True(orders.Hold(new HoldSteps(Generation.First, 1), 7));
        orders.Grant(new GrantSteps(Generation.First, 120, 0, 0, 0, 0, 20), 7);
        Assert.Equal((7, 7), (orders.GrantedStep, orders.AssuredStep));
        orders.Grant(new GrantSteps(Generation.First, 8, 0, 0, 0, 1, 8), 7);
        Assert.Equal((8, 8), (orders.GrantedStep, orders.AssuredStep));
        Assert.True(orders.Hold(new HoldSteps(Generation.First, 2), 8));
        orders.Grant(new GrantSteps(Generation.First.Next(), 60, 0, 0, 0, 0, 10), 8);
        Assert.Equal((60, 10), (orders.GrantedStep, orders.AssuredStep));
        Assert.False(orders.Hold(new HoldSteps(Generation.First, 3), 8));
        Assert.Equal(60, orders.GrantedStep);
    }

    [Fact]
    public void A_copy_is_taken_once_after_the_step_for_which_it_is_asked_and_not_where_it_was_taken_anyway()
    {
        StageOrders orders = new();
        orders.Grant(new GrantSteps(Generation.First, 9, 0, 0, 0, CopyStep: 7), 0);
        Assert.False(orders.TryTakeCopy(6));
        Assert.True(orders.TryTakeCopy(7));
        // A level: every later grant says it again.
        orders.Grant(new GrantSteps(Generation.First, 12, 0, 0, 0, CopyStep: 7), 7);
        Assert.False(orders.TryTakeCopy(7));
        Assert.False(orders.TryTakeCopy(8));
        orders.Copied(10);
        orders.Grant(new GrantSteps(Generation.First, 12, 0, 0, 0, CopyStep: 10), 10);
        Assert.False(orders.TryTakeCopy(10));
    }

    [Fact]
    public void A_copy_for_which_there_was_no_place_is_taken_again_once_a_newer_generation_orders_it_and_not_sooner()
    {
        StageOrders orders = new();
        var second = Generation.First.Next();
        orders.Grant(new GrantSteps(Generation.First, 9, 0, 0, 0, CopyStep: 7), 0);
        Assert.True(orders.TryTakeCopy(7));
        orders.Uncopied(7);
        orders.Grant(new GrantSteps(Generation.First, 9, 0, 0, 0, CopyStep: 7), 7);
        Assert.False(orders.TryTakeCopy(7));
        orders.Grant(new GrantSteps(second, 9, 0, 0, 0, CopyStep: 7), 7);
        Assert.True(orders.TryTakeCopy(7));
        // It has found one: a still newer generation does not have it taken twice.
        orders.Grant(new GrantSteps(second.Next(), 9, 0, 0, 0, CopyStep: 7), 7);
        Assert.False(orders.TryTakeCopy(7));
        // What is said of another step's copy says nothing of this one's.
        orders.Uncopied(6);
        orders.Grant(new GrantSteps(second.Next().Next(), 9, 0, 0, 0, CopyStep: 7), 7);
        Assert.False(orders.TryTakeCopy(7));
        // One that was taken without an order is taken as soon as it is ordered.
        orders.Copied(8);
        orders.Uncopied(8);
        orders.Grant(new GrantSteps(second.Next().Next(), 9, 0, 0, 0, CopyStep: 8), 8);
        Assert.True(orders.TryTakeCopy(8));
    }

    [Fact]
    public void A_later_try_of_a_save_takes_the_place_of_one_that_was_given_up()
    {
        StageOrders orders = new();
        foreach (var attempt in new[] { 4, 6, 5 }) orders.Add(new SaveCheckpoint(Generation.First, 10, attempt));
        Assert.False(orders.TryTakeSave(9, out _));
        Assert.True(orders.TryTakeSave(10, out var save));
        Assert.Equal(6, save.Attempt);
        Assert.False(orders.TryTakeSave(10, out _));
    }

    [Fact]
    public void Saves_of_steps_beyond_a_boundary_that_were_asked_for_before_it_was_found_are_forgotten_and_no_others()
    {
        StageOrders orders = new();
        orders.Grant(new GrantSteps(Generation.First, 100, 0, 0, 0), 0);
        foreach (var step in new[] { 10, 20, 30 }) orders.Add(new SaveCheckpoint(Generation.First, step, 1));
        orders.Hold(new HoldSteps(Generation.First, 1), 9);
        // One that is asked for anew may overtake the grant.
        orders.Add(new SaveCheckpoint(Generation.First, 30, 2, 1));
        orders.Grant(new GrantSteps(Generation.First, 10, 0, 0, 0, 1), 9);
        Assert.True(orders.TryTakeSave(10, out var first));
        Assert.Equal((10, 1), (first.Step, first.Attempt));
        Assert.False(orders.TryTakeSave(29, out _));
        Assert.True(orders.TryTakeSave(30, out var second));
        Assert.Equal(2, second.Attempt);
        // What a leader asked for that is no more.
        orders.Add(new SaveCheckpoint(Generation.First, 60, 3, 1));
        orders.Grant(new GrantSteps(Generation.First.Next(), 50, 0, 0, 0), 31);
        Assert.False(orders.TryTakeSave(60, out _));
    }

    private static void Run(int seed, bool kills)
    {
        try
        {
            new Simulation(seed, kills).Run();
        }
        catch (Exception fault)
        {
            throw new InvalidOperationException($"Seed {seed}: {fault.Message}", fault);
        }
    }

    /// <summary>
    /// Ranks that depend on each other as those of a pipeline do (nobody ends a step that not all have begun), a leader that wants them to stand, its
    /// successors, and messages of which each may be lost, doubled, or overtaken by any other.
    /// </summary>
    private sealed class Simulation
    {
        private const int Window = 12;
        private const int EndStep = 40;
        private readonly Random _chance;
        private readonly Rank[] _ranks;
        private readonly List<(int Rank, object Message)> _mail = [];
        private Leader _leader;
        private bool _mayKill;
        private int _killed;

        internal Simulation(int seed, bool kills)
        {
            _chance = new Random(seed);
            _mayKill = kills;
            _ranks = [.. Enumerable.Range(0, _chance.Next(1, 5)).Select(rank => new Rank(rank))];
            _leader = new Leader(Generation.First, new long[_ranks.Length], 0);
        }

        internal void Run()
        {
            for (var move = 0; move < 400; move++) Move(isFair: false);
            _mayKill = false;
            var standing = _leader.Boundary;
            // From now on nothing is lost for good, and the leader lives.
            Assert.True(Until(() => !_leader.Hold.IsAsking && _ranks.All(rank => rank.Completed >= (_leader.Boundary ?? 0))), $"They do not come to stand: {this}");
            if (standing is { } boundary && _leader.Boundary == boundary) Assert.All(_ranks, rank => Assert.Equal(boundary, rank.Begun));
            _leader.IsDone = true;
            Assert.True(Until(() => _ranks.All(rank => rank.Completed == EndStep)), $"They do not go on: {this}");
        }

        public override string ToString() => $"leader {_leader.Generation} granted {_leader.Granted} boundary {_leader.Boundary}; {string.Join(", ", _ranks.Select(rank => $"{rank.Generation}: {rank.Completed}/{rank.Begun}/{rank.Orders.GrantedStep}"))}";

        private bool Until(Func<bool> isSo)
        {
            for (var move = 0; move < 20_000; move++)
            {
                if (isSo()) return true;
                Move(isFair: true);
            }

            return false;
        }

        private void Move(bool isFair)
        {
            var choice = _chance.Next(100);
            if (choice < 40) Deliver(isFair);
            else if (choice < 75) Work(_chance.Next(_ranks.Length));
            else if (choice < 90) Say();
            else if (choice < 95 && !_leader.IsDone) _leader.Want(_ranks.Length);
            else if (choice < 97 && !isFair) _leader.Release();
            else if (_mayKill && _killed < 5) Succeed();
        }

        private void Deliver(bool isFair)
        {
            if (_mail.Count == 0) return;
            var index = _chance.Next(_mail.Count);
            var (rank, message) = _mail[index];
            var fate = _chance.Next(10);
            if (fate > 1) _mail.RemoveAt(index);
            if (fate is 2 or 3 && !isFair) return;
            if (message is IEvent report) _leader.Hear(report, _ranks);
            else _ranks[rank].Hear(message, answer => _mail.Add((rank, answer)));
        }

        private void Work(int index)
        {
            var rank = _ranks[index];
            if (rank.Begun > rank.Completed)
            {
                if (_ranks.All(other => other.Begun >= rank.Begun)) rank.Completed++;
            }
            else if (rank.Completed < Math.Min(EndStep, rank.Orders.GrantedStep))
            {
                rank.Begun++;
                Assert.True(_leader.Boundary is not { } boundary || rank.Begun <= boundary, $"Rank {index} passed the boundary: {this}");
            }
        }

        /// <summary>The leader says again what it has to say, the ranks where they are; messages of long ago may still be under way.</summary>
        private void Say()
        {
            for (var rank = 0; rank < _ranks.Length; rank++)
            {
                foreach (var message in _leader.Says(rank)) _mail.Add((rank, message));
                _mail.Add((rank, StepLedgerTests.Report(rank, _ranks[rank].Completed) with { Generation = _ranks[rank].Generation }));
            }

            while (_mail.Count > 60) _mail.RemoveAt(_chance.Next(_mail.Count));
        }

        /// <summary>The leader is no more, whatever it was at; what it has said may still arrive, also after the next one has asked how far all are.</summary>
        private void Succeed()
        {
            _killed++;
            _leader = new Leader(_leader.Generation.Next(), [.. _ranks.Select(rank => rank.Completed)], _ranks.Max(rank => rank.Orders.GrantedStep));
        }

        private sealed class Rank(int index)
        {
            internal StageOrders Orders { get; } = new();

            internal Generation Generation { get; private set; } = Generation.First;

            internal long Begun { get; set; }

            internal long Completed { get; set; }

            internal void Hear(object message, Action<IEvent> answer)
            {
                if (message is Generation newer && newer > Generation) Generation = newer;
                if (message is GrantSteps grant && grant.Generation == Generation) Orders.Grant(grant, Begun);
                if (message is HoldSteps hold && hold.Generation == Generation && Orders.Hold(hold, Begun)) answer(new StepsHeld(Generation, index, hold.Number, Begun));
            }
        }

        private sealed class Leader(Generation generation, long[] completed, long granted)
        {
            private readonly HashSet<int> _heard = [];

            internal Generation Generation => generation;

            internal StepHold Hold { get; } = new();

            internal long Granted { get; private set; } = granted;

            /// <summary>Where all are to stand, until that is over.</summary>
            internal long? Boundary { get; private set; }

            /// <summary>Whether nothing is wanted any more but the end.</summary>
            internal bool IsDone
            {
                get;
                set
                {
                    field = value;
                    Release();
                }
            }

            internal void Want(int rankCount)
            {
                // All have heard of the generation first, as in a run that is settled.
                if (!Hold.IsAsking && Boundary is null && (generation == Generation.First || _heard.Count == rankCount)) Hold.Ask(rankCount);
            }

            internal void Release() => Boundary = null;

            internal IEnumerable<object> Says(int rank)
            {
                yield return generation;
                if (!Hold.IsAsking && Boundary is null) Granted = Math.Max(Granted, Math.Min(EndStep, completed.Min() + Window));
                yield return new GrantSteps(generation, Granted, 0, 0, 0, Hold.GrantNumber, Granted);
                if (Hold.Unheard.Contains(rank)) yield return new HoldSteps(generation, Hold.Number);
            }

            internal void Hear(IEvent report, IReadOnlyList<Rank> ranks)
            {
                if (report.Generation != generation) return;
                if (report is StepCompleted step) Note(step);
                if (report is not StepsHeld held || Hold.Enter(held.Rank, held.Number, held.BegunStep) is not { } boundary) return;
                Assert.All(ranks, rank => Assert.True(rank.Begun <= boundary, $"a rank has begun {rank.Begun}, the boundary is {boundary}"));
                Assert.InRange(boundary, ranks.Min(rank => rank.Begun), ranks.Min(rank => rank.Begun) + 1);
                (Boundary, Granted) = (boundary, boundary);
            }

            private void Note(StepCompleted step)
            {
                _heard.Add(step.Rank);
                completed[step.Rank] = Math.Max(completed[step.Rank], step.Step);
            }
        }
    }
}
