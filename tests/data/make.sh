#!/bin/sh
# Make the store of an older release, as SQL on stdout: make.sh COMMIT; recipe.py says what is in it.
# It runs the code of that commit in a work tree of its own, with the libraries of this environment.
set -eu
here=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'git -C "$here" worktree remove --force "$work/tree"; rm -rf "$work"' EXIT
git -C "$here" worktree add --quiet --detach "$work/tree" "$1"
cp "$here/tests/data/recipe.py" "$work/tree/tests/test_recipe.py"
(cd "$work/tree" && OLD_STORE="$work/store.sql" "$here/.venv/bin/python" -m pytest -q -n 0 -p no:cacheprovider \
    tests/test_recipe.py) >&2
printf -- '-- The store that tests/data/recipe.py made with commit %s.\n' "$(git -C "$here" rev-parse --short "$1")"
cat "$work/store.sql"
