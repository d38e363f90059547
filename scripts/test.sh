#!/bin/sh
# Style, types and every test that needs no network. Arguments go to pytest.
#
#   sh scripts/test.sh
#   sh scripts/test.sh -m 'not slow' -k merge
. "$(dirname -- "$0")/setup.sh"
cd "$root"
step "ruff check" "$python" -m ruff check .
step "ruff format" "$python" -m ruff format --check .
step "mypy" "$python" -m mypy
step "pytest" "$python" -m pytest -m "not network" "$@"
