"""What the environment says about systemd: how to reach its managers, and where they look for units."""

import os
from pathlib import Path

from mdata.config.folders import home_folder, user_folder


def failed_run() -> tuple[str, str, str]:
    """Return what systemd passes to a unit that was started by OnFailure=: result, exit status, invocation id."""
    names = ("MONITOR_SERVICE_RESULT", "MONITOR_EXIT_STATUS", "MONITOR_INVOCATION_ID")
    result, status, invocation = (os.environ.get(name, "") for name in names)
    return result or "unknown", status, invocation


def this_manager() -> str:
    """Return which manager started this process: "user" or "system"."""
    return "user" if os.environ.get("MANAGERPID") else "system"


def state_folder() -> Path:
    """Return the folder for state that belongs to no store; raise ValueError for a user without a home folder."""
    return user_folder(os.environ, "XDG_STATE_HOME", ".local/state")


def home() -> str:
    """Return the home folder of the user that runs this; raise ValueError if there is none."""
    return str(home_folder(os.environ))


def manager_environment() -> dict[str, str]:
    """Return the environment for systemctl, so that it finds the user manager from cron and `su` too."""
    runtime = Path(f"/run/user/{os.getuid()}")
    environment = {**os.environ, "SYSTEMD_COLORS": "0", "SYSTEMD_PAGER": "", "LC_ALL": "C.UTF-8", "TZ": "UTC"}
    if "XDG_RUNTIME_DIR" not in environment and runtime.is_dir():
        environment["XDG_RUNTIME_DIR"] = str(runtime)
    return environment


def stamp_folder(manager: str) -> Path:
    """Return where a manager keeps the time of the last run of persistent timers (systemd.timer(5))."""
    if manager == "system":
        return Path("/var/lib/systemd/timers")
    return user_folder(os.environ, "XDG_DATA_HOME", ".local/share").with_name("systemd") / "timers"


def user_unit_folder() -> Path:
    """Return the folder of this user's own units; raise ValueError for a user without a home folder."""
    return user_folder(os.environ, "XDG_CONFIG_HOME", ".config").with_name("systemd") / "user"


def notify_socket() -> str | None:
    """Return the socket on which the service manager expects status messages of this process, or None."""
    return os.environ.get("NOTIFY_SOCKET") or None
