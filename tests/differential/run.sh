#!/usr/bin/env bash
# Differential test against psec and pyemv. Arguments go to run.py; without Python it says SKIP.
# The packages come from PyPI: python3 -m pip install psec==1.3.0 pyemv==1.5.0
set -euo pipefail
cd "$(dirname "$0")/../.."
if ! command -v python3 >/dev/null 2>&1; then
    echo "SKIP python3: not installed; psec and pyemv are not compared"
    exit 0
fi
exec python3 tests/differential/run.py "$@"
