#!/usr/bin/env bash
# Builds what changed and runs it.
#
#   ./pipeline.sh train            the main job; every word but the three below goes to the executable
#   ./pipeline.sh test [ARGS]      builds and passes all tests; ARGS go to `dotnet test`; --full first: every combination, many seeds, a million cases
#   ./pipeline.sh bench [ARGS]     runs the benchmarks
#   ./pipeline.sh chaos [ARGS]     does things to real processes: --count 300 --seed 1 | recovery | cuts | soak
#
# With --install as first argument, or with CI=true as root, it installs what the machine lacks; otherwise it names the
# commands and exits with 3. Nothing is fetched when nothing is missing.
set -euo pipefail

root=$(cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")" && pwd)
artifacts=$root/artifacts
export DOTNET_CLI_UI_LANGUAGE=en DOTNET_NOLOGO=1 DOTNET_CLI_TELEMETRY_OPTOUT=1 MSBUILDDISABLENODEREUSE=1
torch=${Torch:-cpu}
# One heap for all threads. glibc gives each thread that it meets another arena, and in those blocks beyond 64 MiB are mapped and
# unmapped at every operation of a stage; unlike the other settings of the heap this one must stand before the process starts.
export GLIBC_TUNABLES=${GLIBC_TUNABLES:-glibc.malloc.arena_max=1}

say() { printf '%s\n' "$*" >&2; }
fail() { local code=$1; shift; say "$@"; exit "$code"; }

may_install=no
if [[ ${CI:-} == true && $(id -u) == 0 ]]; then may_install=yes; fi
if [[ ${1:-} == --install ]]; then may_install=yes; shift; fi

# --- what the machine must have ---------------------------------------------------------------------------------------

require_system() {
  case "$(uname -s)-$(uname -m)" in
    Linux-x86_64 | Darwin-arm64) ;;
    *) fail 3 "There is no tensor library for $(uname -s) on $(uname -m): use Linux on x86-64, macOS on arm64, or Windows on x64 (with the dotnet commands of the README)." ;;
  esac
  require_dotnet
  if [[ $(uname -s) == Linux ]]; then require_libstdcxx "$@"; fi
}

require_dotnet() {
  command -v dotnet > /dev/null || fail 3 "The .NET 10 SDK is missing: no 'dotnet' on the PATH. Install it from https://dotnet.microsoft.com/download/dotnet/10.0, or by your system's packages, and try again."
}

require_sdk() {
  (cd "$root" && dotnet --version > /dev/null 2>&1) || fail 3 "Expected a .NET SDK 10.0.100 or a later 10.x (global.json); found: $(dotnet --list-sdks 2> /dev/null | cut -d' ' -f1 | paste -sd' ' -). Install it from https://dotnet.microsoft.com/download/dotnet/10.0."
}

# TorchSharp's native library asks for a symbol of GCC 13.2. The symbol decides, not the distribution's name: the remedy
# below changes that name.
libstdcxx_is_new_enough() {
  local library
  library=$( (ldconfig -p || /sbin/ldconfig -p) 2> /dev/null | awk '/libstdc\+\+\.so\.6 .*x86-64/ { print $NF; exit }') || true
  [[ -n $library ]] && grep -qa 'GLIBCXX_3\.4\.32' "$library"
}

libstdcxx_remedy() {
  cat << 'REMEDY'
sed 's/bookworm/trixie/g' /etc/apt/sources.list.d/debian.sources > /etc/apt/sources.list.d/pipeline-trixie.sources
printf 'Package: *\nPin: release n=trixie*\nPin-Priority: 100\n' > /etc/apt/preferences.d/pipeline-trixie
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends -o Dpkg::Options::=--force-confold -t trixie libstdc++6
REMEDY
}

is_debian_12() {
  grep -qs '^VERSION_CODENAME=bookworm' /etc/os-release && [[ -f /etc/apt/sources.list.d/debian.sources ]]
}

require_libstdcxx() {
  libstdcxx_is_new_enough && return
  is_debian_12 || fail 3 "The C++ library is too old: the tensor library needs libstdc++ with GLIBCXX_3.4.32 (GCC 13.2), which Debian 13, Ubuntu 24.04 and Fedora 39 have. Upgrade libstdc++6, or the system."
  if [[ $may_install == no ]]; then
    say "The C++ library is too old: the tensor library needs libstdc++ with GLIBCXX_3.4.32, and Debian 12 has an older one."
    say "Run './pipeline.sh --install ${1:-train}' as root, or these commands, which take that one library from Debian 13:"
    libstdcxx_remedy >&2
    exit 3
  fi
  [[ $(id -u) == 0 ]] || fail 3 "Installing libstdc++6 needs root: run this command once with sudo."
  say "Installing libstdc++6 of Debian 13 (the tensor library needs GLIBCXX_3.4.32) ..."
  mkdir -p "$artifacts/logs"
  libstdcxx_remedy | bash -euo pipefail > "$artifacts/logs/install.log" 2>&1 \
    || fail 3 "Installing libstdc++6 failed; the log is $artifacts/logs/install.log:"$'\n'"$(tail -n 5 "$artifacts/logs/install.log")"
  libstdcxx_is_new_enough || fail 3 "libstdc++6 was installed but still lacks GLIBCXX_3.4.32; the log is $artifacts/logs/install.log."
}

# --- building ---------------------------------------------------------------------------------------------------------

# Whether nothing was added, changed or removed since a stamp was made (a folder's own time tells of removals), and the
# last build was for the same tensor library.
is_current() {
  local stamp=$1; shift
  [[ -f $stamp && $(< "$stamp") == "$torch" ]] || return 1
  [[ -z $(cd "$root" && find "$@" -newer "$stamp" -print -quit 2> /dev/null) ]]
}

# build NAME PROJECT SOURCE...: builds when a source is newer than the last success; one build at a time.
build() {
  local name=$1 project=$2; shift 2
  local stamp=$artifacts/stamps/$name log=$artifacts/logs/build-$name.log
  local sources=("$@" src hocon build Directory.Build.props Directory.Packages.props global.json BannedSymbols.txt .editorconfig)
  is_current "$stamp" "${sources[@]}" && return
  mkdir -p "$artifacts/stamps" "$artifacts/logs"
  require_sdk
  exec 9> "$artifacts/build.lock"
  if command -v flock > /dev/null; then flock 9; fi
  if ! is_current "$stamp" "${sources[@]}"; then
    say "Building (log: $log) ..."
    # The next stamp is as old as the beginning: what changes meanwhile is built again.
    printf '%s' "$torch" > "$artifacts/stamps/begun"
    (cd "$root" && dotnet build "$project" -c Release --nologo -v minimal -nodeReuse:false -p:UseSharedCompilation=false) \
      > "$log" 2>&1 < /dev/null 9>&- || report_build_failure "$log"
    mv "$artifacts/stamps/begun" "$stamp"
  fi
  exec 9>&-
}

report_build_failure() {
  local log=$1 errors
  errors=$(grep -E 'error [A-Z]+[0-9]+|MSB[0-9]+: ' "$log" | sed -e 's/ \[[^]]*\]$//' | sort -u | head -n 10)
  say "The build failed; the whole log is $log:"
  say "${errors:-$(tail -n 10 "$log")}"
  if grep -qE 'error NU[0-9]+' "$log"; then exit 3; fi
  exit 1
}

# --- words ------------------------------------------------------------------------------------------------------------

run_tests() {
  # The equality suite by default runs a subset that covers every pair of choices.
  if [[ ${1:-} == --full ]]; then export PIPELINE_TESTS=full; shift; fi
  require_system test
  build tests Pipeline.sln tests samples bench chaos Pipeline.sln
  local results=$artifacts/test-results/$$ code=0 project
  mkdir -p "$results"
  # The tests of the page mostly wait: they run beside the others, and say how it went at the end.
  local beside=$root/tests/Pipeline.Browser.Tests/Pipeline.Browser.Tests.csproj page
  # In a group of their own: what a shell starts in the background does not hear the Ctrl-C that ends the others.
  set -m
  test_project "$beside" "$results" "$@" > "$results/beside.log" 2>&1 < /dev/null &
  page=$!
  set +m
  trap 'kill -TERM -- "-$page" 2> /dev/null || true' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  for project in "$root"/tests/*/*.csproj; do
    [[ $project == "$beside" ]] || test_project "$project" "$results" "$@" || code=$?
  done
  wait "$page" || code=$?
  trap - EXIT
  cat "$results/beside.log"
  sum_results "$results" || code=${code/#0/1}
  exit "$code"
}

test_project() {
  local project=$1 results=$2
  shift 2
  (cd "$root" && dotnet test "$project" -c Release --no-build --nologo --results-directory "$results" \
    --logger "trx;LogFileName=$(basename "$project" .csproj).trx" "$@") || test_once_more "$project" "$results"
}

# One or two that failed among two thousand others may have had a busy machine: they are repeated by themselves, and named whatever comes
# of it. A counter-example of a property is none of that: it stays a failure, and so does a test host that crashed.
test_once_more() {
  local project=$1 results=$2 trx filter names=() failures
  trx=$results/$(basename "$project" .csproj).trx
  [[ -f $trx ]] && ! grep -qE 'CsCheck_Seed|test run was aborted' "$trx" || return 1
  failures=$(grep -oE '<UnitTestResult [^>]*outcome="Failed"' "$trx" | sed 's/.* testName="\([^"(]*\).*/\1/') || return 1
  mapfile -t names < <(sort -u <<< "$failures")
  ((${#names[@]} <= 2)) || return 1
  filter=$(printf '|FullyQualifiedName=%s' "${names[@]}")
  say "Once more, by themselves: ${names[*]}"
  (cd "$root" && dotnet test "$project" -c Release --no-build --nologo --filter "${filter#|}") || return 1
  sed 's/^/Unsteady (failed among the others, passed by itself): /' <<< "$failures" >> "$results/unsteady"
}

# The last line. A crashed test host writes no counts, so success needs both the exit codes and at least one test.
sum_results() {
  local counters passed=0 failed=0 skipped=0 sums unsteady=0
  counters=$(grep -ho '<Counters [^>]*>' "$1"/*.trx 2> /dev/null || true)
  sums=$(awk '
    function count(name) { return match($0, " " name "=\"[0-9]+\"") ? substr($0, RSTART + length(name) + 3, RLENGTH - length(name) - 4) + 0 : 0 }
    { passed += count("passed"); failed += count("executed") - count("passed"); skipped += count("total") - count("executed") }
    END { print passed + 0, failed + 0, skipped + 0 }' <<< "$counters")
  read -r passed failed skipped <<< "$sums"
  if [[ -f $1/unsteady ]]; then unsteady=$(wc -l < "$1/unsteady"); cat "$1/unsteady"; fi
  ((passed += unsteady, failed -= unsteady)) || true
  printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
  ((failed == 0 && passed > 0))
}

run_bench() {
  require_system bench
  build bench bench/Pipeline.Bench/Pipeline.Bench.csproj bench
  exec dotnet "$artifacts/bin/Pipeline.Bench/release_$(runtime)/Pipeline.Bench.dll" "$@"
}

run_chaos() {
  require_system chaos
  build chaos chaos/Pipeline.Chaos/Pipeline.Chaos.csproj chaos
  exec dotnet "$artifacts/bin/Pipeline.Chaos/release/Pipeline.Chaos.dll" "$@"
}

runtime() { if [[ $(uname -s) == Darwin ]]; then echo osx-arm64; else echo linux-x64; fi; }

# The doctor must be able to say what is missing, so that it alone starts without the C++ library.
run_executable() {
  if [[ ${1:-} == doctor ]]; then require_dotnet; else require_system "$@"; fi
  build cli src/Cli/Pipeline.Cli.csproj
  exec dotnet "$artifacts/bin/Pipeline.Cli/release_$(runtime)/pipeline.dll" "$@"
}

case ${1:-} in
  test) shift; run_tests "$@" ;;
  bench) shift; run_bench "$@" ;;
  chaos) shift; run_chaos "$@" ;;
  *) run_executable "$@" ;;
esac
