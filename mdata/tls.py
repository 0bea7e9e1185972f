"""Which certificate authorities to trust: the same for every connection of mdata."""

import ssl
from pathlib import Path


def context() -> ssl.SSLContext:
    """Return an SSL context that trusts the machine's authorities, or those of SSL_CERT_FILE and SSL_CERT_DIR.

    On a machine without any authorities, Mozilla's are used, from `certifi`.
    """
    places = ssl.get_default_verify_paths()
    if not places.cafile and not (places.capath and any(Path(places.capath).iterdir())):
        import certifi

        return ssl.create_default_context(cafile=certifi.where())
    return ssl.create_default_context()


def advice(setting: str) -> str:
    """Return what to do about a certificate that is not trusted."""
    return (
        f"check {setting} and the clock; if you use your own certificate authority (for a proxy, say), set "
        "SSL_CERT_FILE to it"
    )
