"""The table of exit codes, from which help, docs, units, JSON and the log derive what they say."""

import pytest

from mdata.errors import ConfigurationError, MdataError
from mdata.exit_codes import BUG, EXIT_CODES, find, green, is_known, worst


def test_a_kind_of_error_without_an_entry_cannot_be_defined() -> None:
    with pytest.raises(TypeError, match="has no exit code"):
        type("NoCodeError", (MdataError,), {})
    with pytest.raises(TypeError, match="has no exit code"):
        type("UnknownCodeError", (MdataError,), {"exit_code": 99})
    assert vars(ConfigurationError)["exit_code"] == 78


def test_each_code_has_one_row() -> None:
    numbers = [code for one in EXIT_CODES for code in one.numbers]
    assert len(numbers) == len(set(numbers))


def test_refused_rows_fail_a_unit_and_an_unreachable_exchange_does_not() -> None:
    assert (find(65).is_green, find(65).level) == (False, "ERROR")
    assert (find(69).is_green, find(69).level) == (True, "NOTICE")
    assert green() == (3, 69, 75, 129, 130, 143)


def test_what_mdata_never_ends_with_counts_as_a_bug() -> None:
    assert not is_known(42)
    assert find(42) is find(BUG)
    assert worst() == 0
