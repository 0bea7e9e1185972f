#!/bin/sh
# `make install-system`: installs mdata for the whole machine. The program goes to /opt/mdata, built from the wheel
# with the system's Python; its user and group are mdata, its store is in /var/lib/mdata, its settings in /etc/mdata.
# Run again, it updates the program and does not change settings and data.
set -eu
cd "$(dirname "$0")/.."
umask 022
python=${SYSTEM_PYTHON:-/usr/bin/python3}

fail() {
    echo "install-system: $2" >&2
    exit "$1"
}

[ "$(id -u)" = 0 ] || fail 77 "this needs root; run it with sudo, or use \`make install\` for your own user"
command -v "$python" >/dev/null || fail 78 "no $python; choose another one: make install-system SYSTEM_PYTHON=..."
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail 78 "$python is older than 3.11"
# The units cannot see home folders (ProtectHome=yes), so an interpreter in one would not start there.
"$python" -c 'import os, sys; print(os.path.realpath(sys.executable), os.path.realpath(sys.base_prefix), sep="\n")' |
    while read -r path; do
        case $path/ in
            /home/* | /root/* | /run/user/*)
                fail 78 "$python is $path, in a home folder that the units cannot read; use the system's Python"
                ;;
        esac
    done
"$python" -c 'import ensurepip, venv' || fail 78 "$python cannot create virtual environments; install python3-venv"

getent group mdata >/dev/null || groupadd --system mdata
getent passwd mdata >/dev/null ||
    useradd --system --gid mdata --home-dir /var/lib/mdata --no-create-home --shell /usr/sbin/nologin mdata
# 2770: files in it belong to the group, whichever member creates them.
install -d -m 2770 -o mdata -g mdata /var/lib/mdata
install -d -m 755 /etc/mdata

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# An environment without its interpreter (the system's Python was replaced) is recreated.
clear=
[ ! -e /opt/mdata ] || /opt/mdata/bin/python -c '' 2>/dev/null || clear=--clear
# Only packages that the two lock files list with their hashes run as root: what is installed (including what
# `mdata serve` and PROMETHEUS_TEXTFILE need), and what builds it. A package that would have to be built is rejected.
locked() {
    "$1/bin/pip" install --quiet --no-deps --only-binary :all: --require-hashes --requirement "$2"
}
"$python" -m venv "$work/build"
locked "$work/build" requirements-build.lock
"$work/build/bin/pip" wheel --quiet --no-deps --no-build-isolation --no-index --wheel-dir "$work" .
"$python" -m venv $clear /opt/mdata
locked /opt/mdata requirements.lock
# The same version may contain other code.
/opt/mdata/bin/pip install --quiet --no-deps --no-index --force-reinstall "$work"/mdata_candles-*.whl

if [ ! -e /etc/mdata/mdata.env ]; then
    sed -e 's|^# DATABASE_PATH=.*|DATABASE_PATH=/var/lib/mdata/mdata.db|' \
        -e 's|^# RATE_LIMIT_STATE_PATH=.*|RATE_LIMIT_STATE_PATH=/var/lib/mdata/rate-limit.json|' \
        .env.example >"$work/mdata.env"
    install -m 640 -o root -g mdata "$work/mdata.env" /etc/mdata/mdata.env
fi
link=/usr/local/bin/mdata
if [ -L "$link" ] || [ ! -e "$link" ]; then
    ln -sfn /opt/mdata/bin/mdata "$link"
fi

cat <<'END'
mdata is in /opt/mdata. Next:
  edit /etc/mdata/mdata.env                  what to store, how often
  mdata timers install --system              units and timers; run it again after changing settings
  usermod -aG mdata SOMEBODY                 lets that user use the store (after logging in again)
END
