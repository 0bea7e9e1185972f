#!/bin/sh
# The fast part of the suite that judges a mutant (`MUTANTS_TESTS`: another); it ends at the first test that fails.
set -eu
PYTHONPATH=$(pwd) PYTHONDONTWRITEBYTECODE=1 exec "${MUTANTS_PYTHON:-.venv/bin/python}" -m pytest -x -q -n 0 --tb=no \
    -p no:cacheprovider --no-header \
    ${MUTANTS_TESTS:-tests/test_interval.py tests/test_query.py tests/test_cadence.py tests/test_gaps.py \
    tests/test_repair.py tests/test_backfill.py tests/test_ratelimit.py}
