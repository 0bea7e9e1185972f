#!/bin/sh
# The fast part of the suite that judges a mutant (`MUTANTS_TESTS`: another); it ends at the first test that fails.
# Those that are about the changed module come first.
set -eu
# Every test has a store of its own: in memory they cost a fifth.
[ -w /dev/shm ] && export TMPDIR="${TMPDIR:-/dev/shm}"
evidence="domain/test_evidence domain/test_evidence_witnesses domain/test_evidence_contradicted domain/test_evidence_at_random"
planning="domain/test_planning domain/test_planning_forward"
case $(git diff --name-only) in
    *domain/planning.py | *domain/gaps.py) about="$planning domain/test_gap_rules" ;;
    *domain/evidence.py)
        about="domain/test_verdict $evidence domain/test_written_silence domain/test_silence $planning" ;;
    *domain/contradiction.py) about="domain/test_contradiction $evidence domain/test_written_silence" ;;
    *domain/tails.py) about="domain/test_tails $evidence domain/test_written_silence domain/test_silence" ;;
    *domain/silence.py) about="domain/test_silence $evidence" ;;
    *domain/doubt.py) about="domain/test_doubt $planning $evidence" ;;
    *domain/interval.py) about="domain/test_interval $evidence" ;;
    *domain/query.py) about="domain/test_query domain/test_doubt $evidence exchange/test_wire" ;;
    *domain/retries.py) about="domain/test_retries" ;;
    *domain/ledger.py) about="$planning $evidence" ;;
    *domain/budget.py) about="domain/test_budget domain/test_pace test_ratelimit" ;;
    *domain/pace.py) about="domain/test_pace_rules domain/test_pace test_ratelimit" ;;
    *store/pages.py)
        about="store/test_pages $evidence domain/test_written_silence domain/test_silence store/test_digests" ;;
    *)  # without a mutant: all of them
        about="domain/test_verdict $evidence domain/test_contradiction domain/test_tails domain/test_silence \
            domain/test_written_silence domain/test_doubt $planning domain/test_gap_rules domain/test_interval \
            domain/test_query domain/test_retries domain/test_budget domain/test_pace_rules domain/test_pace \
            store/test_pages store/test_digests exchange/test_wire" ;;
esac
tests=$(for one in $about; do echo "tests/$one.py"; done)
PYTHONPATH=$(pwd) PYTHONDONTWRITEBYTECODE=1 exec "${MUTANTS_PYTHON:-.venv/bin/python}" -m pytest -x -q -n 0 --tb=no \
    -p no:cacheprovider --no-header --hypothesis-profile=few ${MUTANTS_TESTS:-$tests}
