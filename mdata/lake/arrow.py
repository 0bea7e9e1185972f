"""The numbers of an Arrow column as a Python array, through Arrow's C data interface.

The Arrow library of deltalake passes its columns only to other libraries, or returns them value by value, which takes
twenty times as long. The interface is described in
https://arrow.apache.org/docs/format/CDataInterface/PyCapsuleInterface.html.
"""

import ctypes
from array import array
from typing import Any


class _Array(ctypes.Structure):
    """The beginning of the interface's `struct ArrowArray`."""

    _fields_ = (
        ("length", ctypes.c_int64),
        ("null_count", ctypes.c_int64),
        ("offset", ctypes.c_int64),
        ("n_buffers", ctypes.c_int64),
        ("n_children", ctypes.c_int64),
        ("buffers", ctypes.POINTER(ctypes.c_void_p)),
    )


_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.restype, _pointer.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)


def numbers(values: Any, code: str) -> "array[Any]":
    """Return a copy of an Arrow array of 64-bit numbers without nulls; `code` is `q` or `d`."""
    # The capsule owns the memory and must live until the numbers have been copied.
    _, capsule = values.__arrow_c_array__()
    found, copied = _Array.from_address(_pointer(capsule, b"arrow_array")), array(code)
    if found.length:
        copied.frombytes(ctypes.string_at(found.buffers[1] + 8 * found.offset, 8 * found.length))
    return copied
