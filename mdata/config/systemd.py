"""What the environment says about systemd: where its managers are reached, and where they look for units."""

import os
from pathlib import Path

from mdata.config.folders import home_folder, user_folder


def failed_run() -> tuple[str, str, str]:
    """Return what systemd tells a unit that OnFailure= of another started: result, exit status, invocation id."""
    names = ("MONITOR_SERVICE_RESULT", "MONITOR_EXIT_STATUS", "MONITOR_INVOCATION_ID")
    result, status, invocation = (os.environ.get(name, "") for name in names)
    return result or "unknown", status, invocation


def this_manager() -> str:
    """Return which manager has started this process: "user" or "system"."""
    return "user" if os.environ.get("MANAGERPID") else "system"


def state_folder() -> Path:
    """Return where mdata remembers what belongs to no store; raise ValueError for a user without a home."""
    return user_folder(os.environ, "XDG_STATE_HOME", ".local/state")


def home() -> str:
    """Return the home folder of the user that runs this; raise ValueError for a user without one."""
    return str(home_folder(os.environ))


def manager_environment() -> dict[str, str]:
    """Return the environment to start systemctl with: its user manager is found from cron and `su` too."""
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
    """Return where this user's own units go; raise ValueError for a user without a home."""
    return user_folder(os.environ, "XDG_CONFIG_HOME", ".config").with_name("systemd") / "user"


def notify_socket() -> str | None:
    """Return where the service manager that started this process wants to be told how it is, or None."""
    return os.environ.get("NOTIFY_SOCKET") or None
