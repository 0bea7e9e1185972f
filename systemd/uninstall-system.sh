#!/bin/sh
# `make uninstall-system`: removes the program and its units; settings, data, user and group stay.
set -eu
[ "$(id -u)" = 0 ] || { echo "uninstall-system: this needs root; run it with sudo" >&2; exit 77; }
[ ! -x /opt/mdata/bin/mdata ] || /opt/mdata/bin/mdata timers uninstall --system
[ "$(readlink /usr/local/bin/mdata)" != /opt/mdata/bin/mdata ] || rm /usr/local/bin/mdata
rm -rf /opt/mdata
echo "/etc/mdata, /var/lib/mdata, the user and the group mdata were kept; remove them by hand if you want"
