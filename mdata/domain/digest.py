"""The digest of candles: equal digests mean equal candles, whichever store, file or lake they are in.

It is the SHA-256 of the rows, ascending by open time. Each row is a little-endian 64-bit integer (ms UTC) and five
64-bit floats, in the order of the columns.
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
        # The bytes of the integers are placed between the floats unchanged.
        rows[place::width] = part if part.typecode == "d" else array("d", part.tobytes())
    if sys.byteorder == "big":
        rows.byteswap()
    return sha256(rows).digest()
