"""The digest of candles: equal digests mean equal candles, in whatever store, file or lake they are.

It is the SHA-256 over the rows, ascending by open time: each as a little-endian 64-bit integer (ms UTC) and five
64-bit floats, its values in the order of the columns.
"""

import sys
from array import array
from hashlib import sha256

from mdata.domain.columns import Columns


def digest(columns: Columns, first: int, last: int) -> bytes:
    """Return the digest of the candles at the positions `[first, last)`."""
    width = len(columns)
    rows = array("d", bytes(8 * width * (last - first)))
    for place, column in enumerate(columns):
        part = column[first:last]
        # Whole numbers are laid between the floats as the bytes that they are.
        rows[place::width] = part if part.typecode == "d" else array("d", part.tobytes())
    if sys.byteorder == "big":
        rows.byteswap()
    return sha256(rows).digest()
