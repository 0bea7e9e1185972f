"""Whom to believe who an address belongs to: one answer for every connection that mdata makes."""

import ssl
from pathlib import Path


def context() -> ssl.SSLContext:
    """Return what checks certificates against the machine's own authorities, or those of SSL_CERT_FILE and _DIR.

    Where a machine has none of its own, those of Mozilla are taken, as `certifi` brings them.
    """
    places = ssl.get_default_verify_paths()
    if not places.cafile and not (places.capath and any(Path(places.capath).iterdir())):
        import certifi

        return ssl.create_default_context(cafile=certifi.where())
    return ssl.create_default_context()


def advice(setting: str) -> str:
    """Return what to do about a certificate that was not believed."""
    return f"check {setting} and the clock; an authority of your own, a proxy's say, is named by SSL_CERT_FILE"
