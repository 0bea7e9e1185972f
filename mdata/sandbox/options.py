"""How a pair of the sandbox is written on the command line."""

from mdata.domain.interval import Range
from mdata.domain.times import parse_instant
from mdata.exchange.bitfinex.symbols import parse_symbol
from mdata.sandbox.market import DEFAULT_LISTED, NEVER, Pair


def parse_pair(text: str, now: int, since: int = DEFAULT_LISTED) -> Pair:
    """Return the pair that `tNEWUSD:density=0.1,listed=2024-03,hole=A/B,price=0.5` describes.

    Times can be relative to `now` (`-7d`), ms UTC; a pair without `listed` is listed since `since`. Raise ValueError
    with a message for the user if the text does not describe a pair.
    """
    # A symbol may contain a colon, and a time too: tAVAX:USD:listed=2024-05-01T12:30Z
    head, equals, tail = text.partition("=")
    name, _, first = head.rpartition(":") if equals else (text, "", "")
    parameters = f"{first}{equals}{tail}"
    listed, delisted, density, price = since, NEVER, 1.0, 0.0
    holes: list[Range] = []
    for parameter in filter(None, parameters.split(",")):
        key, _, value = parameter.partition("=")
        if key == "density":
            density = _number(key, value, 1.0)
        elif key == "price":
            price = _number(key, value, 1e9)
        elif key == "listed":
            listed = parse_instant(value, now)
        elif key == "delisted":
            delisted = parse_instant(value, now)
        elif key == "hole":
            holes.append(_hole(value, now))
        else:
            raise ValueError(f"a pair has density, listed, delisted, hole and price, not {key!r}")
    return Pair(parse_symbol(name), listed, density, tuple(holes), price, delisted)


def _number(key: str, text: str, most: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= most:
        raise ValueError(f"{key} must be a number above 0 and at most {most:g}, not {text!r}")
    return value


def _hole(text: str, now: int) -> Range:
    start, slash, end = text.partition("/")
    if not slash:
        raise ValueError(f"a hole needs a start and an end (hole=2024-05-01/2024-05-03), not {text!r}")
    hole = Range(parse_instant(start, now), parse_instant(end, now))
    if hole.start >= hole.end:
        raise ValueError(f"the hole {text} ends before it begins")
    return hole
