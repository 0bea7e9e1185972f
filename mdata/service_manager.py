"""systemd's notification protocol (sd_notify): one datagram to the service manager's socket."""

import socket

# A service manager that does not read must not block this process.
_SECONDS = 1.0


class Notifier:
    """Reports the state of this process to the service manager at `address`; does nothing without an address."""

    def __init__(self, address: str | None) -> None:
        # An abstract socket, which has no file, is written with an @ instead of its zero byte.
        self._address = "\0" + address[1:] if address and address.startswith("@") else address

    def __call__(self, *states: str) -> None:
        """Send states like `READY=1` or `STATUS=3 channels`; an error is ignored."""
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.settimeout(_SECONDS)
                sender.connect(self._address)
                sender.send("\n".join(states).encode())
        except OSError:
            pass
