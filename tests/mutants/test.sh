#!/bin/sh
# The fast part of the suite that judges a mutant (`MUTANTS_TESTS`: another); it ends at the first test that fails.
# Those that are about the changed module come first.
set -eu
# Every test has a store of its own: in memory they cost a fifth.
[ -w /dev/shm ] && export TMPDIR="${TMPDIR:-/dev/shm}"
rules="tests/domain/test_evidence.py tests/domain/test_planning.py tests/domain/test_doubt.py tests/domain/test_silence.py tests/domain/test_gap_rules.py \
    tests/domain/test_interval.py tests/domain/test_query.py tests/domain/test_retries.py tests/domain/test_budget.py tests/domain/test_pace_rules.py"
case $(git diff --name-only) in
    *domain/planning.py | *domain/gaps.py) tests="tests/domain/test_planning.py tests/domain/test_gap_rules.py" ;;
    *domain/retries.py) tests="tests/domain/test_retries.py" ;;
    *domain/ledger.py) tests="tests/domain/test_planning.py tests/domain/test_evidence.py" ;;
    *domain/silence.py) tests="tests/domain/test_silence.py tests/domain/test_evidence.py" ;;
    *domain/doubt.py) tests="tests/domain/test_doubt.py tests/domain/test_planning.py tests/domain/test_evidence.py" ;;
    *domain/interval.py) tests="tests/domain/test_interval.py tests/domain/test_evidence.py" ;;
    *domain/query.py) tests="tests/domain/test_query.py tests/domain/test_doubt.py tests/domain/test_evidence.py tests/exchange/test_wire.py" ;;
    *domain/budget.py) tests="tests/domain/test_budget.py tests/domain/test_pace.py tests/test_ratelimit.py" ;;
    *domain/pace.py) tests="tests/domain/test_pace_rules.py tests/domain/test_pace.py tests/test_ratelimit.py" ;;
    *store/pages.py) tests="tests/domain/test_evidence.py tests/domain/test_silence.py tests/store/test_digests.py" ;;
    *domain/*) tests="tests/domain/test_evidence.py tests/domain/test_silence.py" ;;
    *) tests="$rules tests/store/test_digests.py tests/exchange/test_wire.py tests/domain/test_pace.py" ;;
esac
PYTHONPATH=$(pwd) PYTHONDONTWRITEBYTECODE=1 exec "${MUTANTS_PYTHON:-.venv/bin/python}" -m pytest -x -q -n 0 --tb=no \
    -p no:cacheprovider --no-header --hypothesis-profile=few ${MUTANTS_TESTS:-$tests}
