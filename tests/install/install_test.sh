#!/bin/sh
# Installs the build to a temporary prefix and builds and runs a project that finds it there.
# usage: install_test.sh BUILD-FOLDER COMPILER [COMPILER-FLAG...]
set -eu

here=$(cd "$(dirname "$0")" && pwd)
build=$1
compiler=$2
shift 2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

cmake --install "$build" --prefix "$work/prefix" >/dev/null
cmake -S "$here" -B "$work/build" -G Ninja -DCMAKE_CXX_COMPILER="$compiler" \
  -DCMAKE_CXX_FLAGS="$* -Wall -Wextra -Wpedantic -Werror" -DCMAKE_PREFIX_PATH="$work/prefix" \
  -DCMAKE_FIND_USE_PACKAGE_REGISTRY=OFF
cmake --build "$work/build"
said=$("$work/build/consumer")
[ "$said" = '"sales"."daily"' ] || {
  echo "the consumer printed: $said" >&2
  exit 1
}
# What is installed must not point back into the build or the sources.
if grep -rlF -e "$build" -e "${here%/tests/install}/" "$work/prefix/lib" --include='*.cmake'; then
  echo "these installed files name the build or the sources" >&2
  exit 1
fi
[ ! -e "$work/prefix/bin/matview" ] || "$work/prefix/bin/matview" --version
