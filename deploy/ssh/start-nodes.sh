#!/usr/bin/env bash
# Starts a node on each host over ssh, with certificates of its own. The program must lie in the same place everywhere.
#   deploy/ssh/start-nodes.sh node-1.example.org node-2.example.org node-3.example.org
#   deploy/ssh/start-nodes.sh --stop node-1.example.org ...
# Never run against other machines: only one was at hand.
set -euo pipefail

program=${PIPELINE_PROGRAM:-/opt/pipeline/pipeline}
shared=${PIPELINE_SHARED:-/shared/pipeline}         # storage that all hosts reach, for run directories and the token
remote=${PIPELINE_REMOTE:-.pipeline}                # below the home folder there

if [[ ${1:-} == --stop ]]; then
  shift
  # The node's own process, by the id that it was started with: SIGTERM lets it hand over and leave.
  for host in "$@"; do ssh "$host" "kill -TERM \$(cat $remote/node.pid)"; done
  exit
fi

[[ $# -ge 1 ]] || { echo "usage: $0 [--stop] HOST..." >&2; exit 2; }
[[ -f certs/ca.crt ]] || "$program" certs init
seeds=$(printf '"%s:4053",' "$@")
for host in "$@"; do
  [[ -f certs/$host.crt ]] || "$program" certs issue --name "$host" --role coordinator --role stage --host "$host"
  ssh "$host" "umask 077 && mkdir -p $remote"
  scp -q certs/ca.crt "$host:$remote/ca.crt"
  scp -q "certs/$host.crt" "$host:$remote/node.crt"
  scp -q "certs/$host.key" "$host:$remote/node.key"
  ssh "$host" "cat > $remote/cluster.conf" << CONF
pipeline {
  cluster { host = $host, seed-nodes = [${seeds%,}], token-file = $shared/cluster.token }
  security { tls = true, ca = $remote/ca.crt, certificate = $remote/node.crt, key = $remote/node.key }
}
CONF
  ssh "$host" "nohup $program node -c $remote/cluster.conf > $remote/node.log 2>&1 < /dev/null & echo \$! > $remote/node.pid"
  echo "started on $host; its log is $remote/node.log there"
done
echo "Now, on any of them: $program train --cluster -c $remote/cluster.conf --run $shared/runs/first"
