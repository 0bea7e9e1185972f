#!/bin/sh
# `make mutants`: change the rules a line at a time, in a work tree of their own, and see whether a test notices.
# It goes on where it was interrupted, until another commit is checked out; `MUTANTS_FRESH=1` begins anew.
set -eu
here=$(cd "$(dirname "$0")/../.." && pwd)
work=$here/.mutants
bin=$here/.envs/mutants/bin
commit=$(git -C "$here" rev-parse HEAD)
export MUTANTS_PYTHON="$here/.venv/bin/python"

if [ "${MUTANTS_FRESH:-}" ] || [ "$(cat "$work/commit" 2>/dev/null)" != "$commit" ]; then
    rm -rf "$work"
    git -C "$here" worktree prune
    mkdir "$work"
    git -C "$here" worktree add --quiet --detach "$work/tree" "$commit"
    (cd "$work/tree" && "$bin/cosmic-ray" init tests/mutants/cosmic-ray.toml "$work/session.sqlite" \
        && "$bin/cr-filter-operators" "$work/session.sqlite" tests/mutants/cosmic-ray.toml \
        && sh tests/mutants/test.sh)
    echo "$commit" >"$work/commit"
fi
# An interrupted run leaves its last change behind.
git -C "$work/tree" checkout --quiet .
cd "$work/tree"
trap 'git -C "$work/tree" checkout --quiet .' EXIT
"$bin/cosmic-ray" exec tests/mutants/cosmic-ray.toml "$work/session.sqlite" &
wait $! || true
"$bin/python" "$here/tests/mutants/report.py" "$work/session.sqlite" "$here/tests/mutants/explained.toml"
