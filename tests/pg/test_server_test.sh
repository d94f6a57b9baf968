#!/bin/bash
# A run that is killed leaves no server behind, and a run that ends neither.
# usage: test_server_test.sh
set -euo pipefail
cd "$(dirname "$0")/../support"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# gone ROOT: within the time a watchdog may take
gone() {
  for ((i = 0; i < 300; ++i)); do
    [[ -e $1 ]] || return 0
    sleep 0.1
  done
  echo "$1 is still there" >&2
  return 1
}

# Started by a relative name, as ctest does, from a process that is then killed.
{ bash -c './test-server start "$1" && kill -KILL $$' sh "$dir" || true; } >/dev/null 2>&1
source "$dir/env"
gone "$root"
gone "$dir/env"

./test-server start "$dir" >/dev/null
source "$dir/env"
[[ -S $socket/.s.PGSQL.5432 ]]
if ./test-server start "$dir" 2>/dev/null; then
  echo 'a second start took over a server in use' >&2
  exit 1
fi
bash -c './test-server leave "$1"; true' sh "$dir"  # Another process than ours.
[[ -S $socket/.s.PGSQL.5432 ]]
./test-server leave "$dir"
[[ ! -e $root && ! -e $dir/env ]]
gone "/proc/${watchdog%%:*}"
./test-server stop "$dir"
