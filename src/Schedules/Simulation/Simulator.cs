namespace Pipeline.Schedules;

/// <summary>
/// Runs a schedule through time, event by event: a rank starts its next action when it is free and the inputs have arrived;
/// outputs queue for their channel in the order in which they are ready, whoever sends them. Exact for the model given;
/// mailboxes are never full. Time and memory are linear in the number of actions.
/// </summary>
public sealed class Simulator
{
    // Payloads of events: a rank that ends its action, a rank whose input has arrived, a message that is ready to be sent.
    private const int EndOfAction = 0;
    private const int Wake = 1;
    private const int Departure = 2;
    private const int PayloadKinds = 3;

    private readonly Schedule _schedule;
    private readonly SimulationModel _model;
    private readonly SimulatedInputs _inputs;
    private readonly SimulationRecord _record;
    private readonly EventQueue _events = new();
    private readonly int[] _next;
    private readonly bool[] _isRunning;
    private readonly double[] _free;
    private readonly double[] _channelFree;

    private Simulator(Schedule schedule, SimulationModel model)
    {
        _schedule = schedule;
        _model = model;
        _inputs = new SimulatedInputs(schedule, model);
        _record = new SimulationRecord(schedule);
        _next = new int[schedule.RankCount];
        _isRunning = new bool[schedule.RankCount];
        _free = model.StartOfRank.IsEmpty ? new double[schedule.RankCount] : [.. model.StartOfRank];
        _channelFree = new double[model.Links?.ChannelCount ?? 0];
    }

    /// <summary>Simulates one step.</summary>
    /// <exception cref="ScheduleException">The schedule blocks, or the model does not fit it.</exception>
    public static SimulatedStep Run(Schedule schedule, SimulationModel model)
    {
        RequireFit(schedule, model);
        var simulator = new Simulator(schedule, model);
        simulator.Run();
        if (!simulator.IsComplete())
            ScheduleValidator.ThrowIfInvalid(schedule, ScheduleLimits.Loosest(schedule));
        return new SimulatedStep(schedule, model, simulator._record, simulator._inputs);
    }

    private static void RequireFit(Schedule schedule, SimulationModel model)
    {
        Require("costs", model.Costs.StageCount, schedule.StageCount);
        if (!model.SpeedOfRank.IsEmpty)
            Require("speeds", model.SpeedOfRank.Length, schedule.RankCount);
        if (!model.StartOfRank.IsEmpty)
            Require("starts", model.StartOfRank.Length, schedule.RankCount);
        if (!model.Memory.IsEmpty)
            Require("memories", model.Memory.Length, schedule.StageCount);
        if (model.Links is { } links)
            Require("output sizes", links.OutputBytes.Length, schedule.StageCount);
        if (model.SpeedOfRank.Any(speed => !(speed > 0)))
            throw new ScheduleException("A rank's speed is not above 0: expected positive relative speeds.");

        void Require(string what, int found, int expected)
        {
            if (found != expected)
                throw new ScheduleException($"The simulation of {schedule.Name} has {found} {what}: expected {expected}.");
        }
    }

    private bool IsComplete()
    {
        for (var rank = 0; rank < _next.Length; rank++)
            if (_next[rank] < _schedule.Actions[rank].Length)
                return false;
        return true;
    }

    private void Run()
    {
        for (var rank = 0; rank < _schedule.RankCount; rank++)
            TryStart(rank, 0);
        while (_events.TryTake(out var now, out var payload))
        {
            var (subject, kind) = Math.DivRem(payload, PayloadKinds);
            switch (kind)
            {
                case EndOfAction:
                    End(subject, now);
                    break;
                case Wake:
                    TryStart(subject, now);
                    break;
                default:
                    Depart(subject, now);
                    break;
            }
        }
    }

    private void TryStart(int rank, double now)
    {
        var row = _schedule.Actions[rank];
        if (_isRunning[rank] || _next[rank] == row.Length)
            return;
        var action = row[_next[rank]];
        var ready = _inputs.ReadyAt(action, rank);
        if (double.IsPositiveInfinity(ready))
            return;
        if (ready > now || _free[rank] > now)
        {
            _events.Add(Math.Max(ready, _free[rank]), Payload(rank, Wake));
            return;
        }

        var arrivalCost = _inputs.ReceiveCost(action);
        var cost = arrivalCost + (_model.Costs.Of(action) * _model.Jitter.Factor(rank, _next[rank]) / _model.SpeedAt(rank, now));
        _record.Started(rank, _next[rank], now, now + cost, arrivalCost, _free[rank], _inputs.MadeAt(action));
        _isRunning[rank] = true;
        _events.Add(now + cost, Payload(rank, EndOfAction));
    }

    private void End(int rank, double now)
    {
        var action = _schedule.Actions[rank][_next[rank]];
        _isRunning[rank] = false;
        _next[rank]++;
        _free[rank] = now;
        if (_inputs.ReceiverOf(action) is { } receiver)
            Send(rank, action, receiver, now);
        else if (_inputs.Ended(action, rank, now))
            WakeAll(now);
        TryStart(rank, now);
    }

    private void Send(int rank, StageAction action, int receiver, double now)
    {
        var delay = _inputs.SendCost(action);
        var made = now;
        if (delay > 0 && !_model.Links!.SerializesAside)
        {
            _free[rank] = made = now + delay;
            _record.Sent(rank, delay);
        }

        if (_inputs.Ended(action, rank, now))
            WakeAll(now);
        if (_model.Links is null)
        {
            Arrive(action, receiver, now + _model.Costs.HopLatency);
            return;
        }

        // A message with bandwidth to share takes its turn when it is ready, not when its rank ran.
        var ready = Math.Max(made, now + delay);
        if (ready > now)
            _events.Add(ready, Payload(_inputs.MessageOf(action), Departure));
        else
            Depart(_inputs.MessageOf(action), now);
    }

    private void Depart(int message, double now)
    {
        var (action, from, to) = _inputs.Message(message);
        var links = _model.Links!;
        var link = links.Between(from, to);
        var departed = Math.Max(now, _channelFree[link.Channel]) + (_inputs.BytesOf(action) / link.BytesPerSecond);
        _channelFree[link.Channel] = departed;
        var aside = links.SerializesAside ? _inputs.BytesOf(action) * links.SerializationPerByte : 0;
        Arrive(action, to, departed + link.Latency + _model.Costs.HopLatency + aside);
    }

    private void Arrive(StageAction action, int receiver, double at)
    {
        _inputs.Arrives(action, at);
        if (!_isRunning[receiver])
            _events.Add(at, Payload(receiver, Wake));
    }

    private void WakeAll(double now)
    {
        for (var rank = 0; rank < _schedule.RankCount; rank++)
            if (!_isRunning[rank])
                _events.Add(now, Payload(rank, Wake));
    }

    private static int Payload(int subject, int kind) => checked((subject * PayloadKinds) + kind);
}
