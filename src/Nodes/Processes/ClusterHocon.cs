using System.Globalization;
using Akka.Configuration;
using Pipeline.Protocol;

namespace Pipeline.Nodes;

/// <summary>The settings of Akka.Remote and Akka.Cluster for a node: small frames, own threads for the heartbeats, verdicts within seconds.</summary>
public static class ClusterHocon
{
    private const string Fixed = """
        akka {
          loglevel = WARNING
          # Before the log is there, and after.
          stdout-loglevel = ERROR
          loggers = ["Pipeline.Nodes.NodeLogActor, Pipeline.Nodes"]
          log-dead-letters = off
          log-dead-letters-during-shutdown = off
          actor.provider = cluster
          # Each tick wakes threads that compute would rather not meet; nothing here waits for less than a tick.
          scheduler.tick-duration = 50ms
          remote {
            retry-gate-closed-for = 1s
            log-remote-lifecycle-events = off
            dot-netty.tcp {
              # Control messages only: tensors and copies travel over links.
              maximum-frame-size = 128000b
              batching.enabled = off
              connection-timeout = 5s
            }
            transport-failure-detector { heartbeat-interval = 4s, acceptable-heartbeat-pause = 20s }
            watch-failure-detector.acceptable-heartbeat-pause = 10s
          }
          cluster {
            seed-node-timeout = 1s
            retry-unsuccessful-join-after = 1s
            gossip-interval = 250ms
            leader-actions-interval = 250ms
            unreachable-nodes-reaper-interval = 500ms
            periodic-tasks-initial-delay = 250ms
            min-nr-of-members = 1
            allow-weakly-up-members = off
            run-coordinated-shutdown-when-down = on
            down-removal-margin = 1s
            # Heartbeats must not wait for a thread that computes.
            use-dispatcher = akka.cluster.dedicated
            dedicated { type = ForkJoinDispatcher, throughput = 10, dedicated-thread-pool { thread-count = 2, threadtype = background } }
            failure-detector { heartbeat-interval = 500ms, threshold = 10, acceptable-heartbeat-pause = 4s, expected-response-after = 500ms, min-std-deviation = 200ms }
            downing-provider-class = "Akka.Cluster.SBR.SplitBrainResolverProvider, Akka.Cluster"
            singleton-proxy { singleton-identification-interval = 250ms, log-singleton-identification-failure = off }
            split-brain-resolver { stable-after = 3s, down-all-when-unstable = off, keep-oldest.down-if-alone = off }
          }
          coordinated-shutdown {
            run-by-clr-shutdown-hook = off
            exit-clr = off
            default-phase-timeout = 5s
          }
        }
        """;

    /// <summary>What the nodes of a cluster must decide alike when it is cut in two.</summary>
    public static SharedSetting SplitRule(NodeSettings settings) => new("cluster.seed-nodes", IsPair(settings)
        ? "two nodes, so that the leader's side of a split goes on" : "one node, or three or more, so that the larger side of a split goes on");

    /// <summary>
    /// The settings of one node. Of two nodes the leader's side goes on, and the oldest leads; of more the larger side does, since with it a
    /// run can be led on.
    /// </summary>
    /// <param name="settings">The node.</param>
    /// <param name="scheme">Of all addresses in the cluster: <c>akka.tcp</c>, or <c>akka.ssl.tcp</c> with TLS.</param>
    public static Config For(NodeSettings settings, string scheme)
    {
        var seeds = settings.SeedNodes.Select(seed => $"\"{scheme}://{settings.Cluster}@{seed}\"");
        var roles = settings.Roles.Select(role => $"\"{role}\"");
        return ConfigurationFactory.ParseString(string.Create(CultureInfo.InvariantCulture, $$"""
            akka.cluster {
              split-brain-resolver.active-strategy = {{(IsPair(settings) ? "keep-oldest" : "keep-majority")}}
              seed-nodes = [{{string.Join(", ", seeds)}}]
              roles = [{{string.Join(", ", roles)}}]
              shutdown-after-unsuccessful-join-seed-nodes = {{settings.JoinPatience.TotalSeconds}}s
            }
            """)).WithFallback(ConfigurationFactory.ParseString(Fixed));
    }

    private static bool IsPair(NodeSettings settings) => settings.SeedNodes.Count == 2;
}
