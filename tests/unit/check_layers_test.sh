#!/bin/sh
# Plants one offence at a time in a copy of the sources: tools/check-layers must name it.
# usage: check_layers_test.sh REPOSITORY
set -eu

check=$1/tools/check-layers
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/apps" "$work/src" "$work/include"
# -L: a link to the real headers would have the offences planted among them.
cp -RL "$1/include/." "$work/include"
for folder in text pg store views incremental tasks cli http; do mkdir "$work/src/$folder"; done

failures=0
passed=0
wrong() {
  echo "$1" >&2
  failures=$((failures + 1))
}

# refuses FILE LINE-OF-CODE WORDS
refuses() {
  mkdir -p "$(dirname "$work/$1")"
  printf '#pragma once\n%s\n' "$2" >"$work/$1"
  if said=$("$check" "$work"); then
    wrong "accepted in $1: $2"
  else
    case "$said" in
    "$1:"*"$3"*) passed=$((passed + 1)) ;;
    *) wrong "for $2 in $1 it said: $said" ;;
    esac
  fi
  rm "$work/$1"
}
accepts() {
  mkdir -p "$(dirname "$work/$1")"
  printf '#pragma once\n%s\n' "$2" >"$work/$1"
  if said=$("$check" "$work"); then passed=$((passed + 1)); else wrong "refused: $said"; fi
  rm "$work/$1"
}

accepts src/pg/x.cpp '#include "text/quote.hpp"'
accepts src/pg/x.cpp '#include "pg/result.hpp"'
accepts src/pg/x.cpp '#include <libpq-fe.h>'
accepts src/text/x.cpp '#include <pg_query.h>'
accepts src/views/x.cpp '#include "incremental/delta.hpp"'
accepts src/incremental/x.cpp '#include "views/lifecycle.hpp"'
accepts src/cli/x.cpp '#include "tasks/worker.hpp"'
accepts src/text/x.cpp '#include <matview/error.hpp>'
accepts src/views/x.cpp '// #include "cli/x.hpp"'
accepts apps/matview/main.cpp '#include "cli/main.hpp"'

refuses src/text/x.cpp '#include "pg/result.hpp"' 'floor 0 (text) includes floor 1: pg/result.hpp'
refuses src/pg/x.cpp '  #  include "store/schema.hpp"' 'floor 1 (pg) includes floor 2'
refuses src/store/x.hpp '#include "views/lifecycle.hpp"' 'floor 2 (store) includes floor 3'
refuses src/views/x.cpp '#include "tasks/queue.hpp"' 'floor 3 (views) includes floor 4'
refuses src/tasks/x.cpp '#include "http/server.hpp"' 'floor 4 (tasks) includes floor 5'
refuses src/views/x.cpp '#include <libpq-fe.h>' 'libpq-fe.h is not for this folder'
refuses src/cli/x.cpp '#include <pg_query.h>' 'pg_query.h is not for this folder'
refuses src/text/x.cpp '#include <boost/asio.hpp>' 'floor 0 does no I/O'
refuses src/text/x.cpp '#include <boost/asio/awaitable.hpp>' 'floor 0 does no I/O'
refuses src/views/x.cpp '#include "../pg/result.hpp"' 'an include names its folder'
refuses src/views/x.cpp '#include "helper.hpp"' 'an include names its folder'
refuses src/views/x.cpp '#include <pg/result.hpp>' 'included with quotes'
refuses src/misc/x.cpp '' 'no floor has this folder'
refuses src/x.cpp '' 'no floor has this folder'
refuses include/matview/x.hpp '#include "text/quote.hpp"' 'includes a private one'
refuses include/matview/x.hpp '#include <text/quote.hpp>' 'includes a private one'
refuses include/matview/x.hpp '#include <libpq-fe.h>' 'a public header includes libpq-fe.h'
refuses include/matview/deep/x.hpp '' 'stand flat'
refuses apps/matview/main.cpp '#include "views/lifecycle.hpp"' 'an application includes only cli'

number=0
while [ "$number" -lt 26 ]; do
  number=$((number + 1))
  echo >"$work/include/matview/x$number.hpp"
done
if "$check" "$work" >/dev/null; then wrong 'accepted more than 25 public headers'; else passed=$((passed + 1)); fi

echo "$passed passed, $failures failed"
[ "$failures" = 0 ]
