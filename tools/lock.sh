#!/usr/bin/env bash
# Writes constraints.txt anew: the newest versions that fit together, for every Python from 3.10 to 3.13 at
# once. Called by `make lock`.
set -euo pipefail
cd "$(dirname "$0")/.."

"${1:-python3}" -m venv build/lock
build/lock/bin/python -m pip install --quiet --upgrade pip uv

# Only metadata is needed, so the Python that is here serves for all; none needs to be fetched.
UV_PYTHON_DOWNLOADS=never build/lock/bin/uv pip compile --quiet --universal --python-version 3.10 --upgrade \
  --extra models --extra s3 --extra gcs --extra dataflow --group dev --no-annotate --no-header --output-file build/lock/constraints.txt pyproject.toml

{
  echo "# Exact versions of everything that Tekizai and its development tools install, for Python 3.10 to 3.13."
  echo "# Written by \`make lock\`; do not edit by hand."
  cat build/lock/constraints.txt
} >constraints.txt
echo "constraints.txt has $(grep -c == constraints.txt) pins; make install and make test show whether they work"
