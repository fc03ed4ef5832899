#!/usr/bin/env bash
# Load by locust while versions swap, in a Python environment that has it. `scripts/load.sh --help` tells the rest.
set -euo pipefail

# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

environment locust loadtests/requirements-locust.txt
exec "$env/bin/python" loadtests/load.py "$@"
