"""How a pair of the sandbox is written on the command line."""

from mdata.domain.interval import Range
from mdata.domain.moment import parse_instant
from mdata.domain.symbol import parse_symbol
from mdata.sandbox.market import DEFAULT_LISTED, Pair


def parse_pair(text: str) -> Pair:
    """Return the pair that `tXYZUSD:density=0.1,listed=2024-03,hole=A/B` describes; raise ValueError for none."""
    name, _, parameters = text.partition(":") if "=" in text else (text, "", "")
    listed, density, holes = DEFAULT_LISTED, 1.0, []
    for parameter in filter(None, parameters.split(",")):
        key, _, value = parameter.partition("=")
        if key == "density":
            density = float(value)
        elif key == "listed":
            listed = parse_instant(value, 0)
        elif key == "hole":
            start, _, end = value.partition("/")
            holes.append(Range(parse_instant(start, 0), parse_instant(end, 0)))
        else:
            raise ValueError(f"a pair has density, listed and hole, not {key!r}")
    return Pair(parse_symbol(name), listed, density, tuple(holes))
