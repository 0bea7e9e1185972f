"""The settings as `mdata config` lists them."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from mdata.config.loading import Loaded, field_of
from mdata.config.table import SETTINGS
from mdata.domain.share import Share

_REDACTED = "(set, not shown)"


class Row(NamedTuple):
    """One line of `mdata config`."""

    name: str
    value: str
    origin: str


def listing(loaded: Loaded) -> list[Row]:
    """Return every setting with its value as text and its origin; secrets are not shown."""
    rows = []
    for setting in SETTINGS:
        value = loaded.settings.addresses.get(setting.name)
        value = getattr(loaded.settings, field_of(setting)) if value is None else value
        text = _REDACTED if setting.is_secret and value else _text(value)
        rows.append(Row(setting.name, text, loaded.origins[setting.name]))
    return rows


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple) and not isinstance(value, Share):
        return ",".join(str(getattr(one, "name", one)) for one in value)
    if isinstance(value, Mapping):
        return ",".join(f"{name}={days}" for name, days in value.items())
    return str(value)
