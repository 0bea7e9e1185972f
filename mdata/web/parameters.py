"""Query parameters of our addresses: each means the same as the option of that name, with equally clear errors."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from mdata.domain.escape import quote
from mdata.domain.suggest import did_you_mean

Parameters = Mapping[str, Sequence[str]]


def refuse_others(parameters: Parameters, allowed: tuple[str, ...]) -> None:
    """Raise ValueError for a parameter that is not allowed."""
    for name in parameters:
        if name not in allowed:
            known = f"valid are {', '.join(allowed)}{did_you_mean(name, allowed)}"
            raise ValueError(f"{quote(name)} is not a parameter of this address; {known}")


def every(parameters: Parameters, name: str, parse: Callable[[str], Any]) -> Iterator[Any]:
    """Yield the parsed values of a parameter; raise ValueError with a message that names it."""
    for text in parameters.get(name, ()):
        try:
            yield parse(text)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error


def one(parameters: Parameters, name: str, parse: Callable[[str], Any]) -> Any:
    """Return the parsed value of a parameter that is given at most once; None if it is not given."""
    found = list(every(parameters, name, parse))
    if len(found) > 1:
        raise ValueError(f"{name} may only be given once")
    return found[0] if found else None


def one_of(words: Sequence[str]) -> Callable[[str], str]:
    """Return a parser that accepts one of these words."""

    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(f"{quote(text)} is not one of {', '.join(words)}{did_you_mean(text, words)}")
        return text

    return parse
