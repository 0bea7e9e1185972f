"""systemd's notification protocol (sd_notify): one datagram to the socket that the service manager names."""

import socket

# A manager that does not read must not hold us up.
_SECONDS = 1.0


class Notifier:
    """Tells the service manager at `address` how this process is; without an address there is nobody to tell."""

    def __init__(self, address: str | None) -> None:
        # An abstract socket, which has no file, is written with an @ in the place of its zero byte.
        self._address = "\0" + address[1:] if address and address.startswith("@") else address

    def __call__(self, *states: str) -> None:
        """Send states like `READY=1` or `STATUS=3 channels`; nothing happens when nobody listens any more."""
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.settimeout(_SECONDS)
                sender.connect(self._address)
                sender.send("\n".join(states).encode())
        except OSError:
            pass
