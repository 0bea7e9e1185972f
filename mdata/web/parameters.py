"""Query parameters of our addresses: each means what the option of its name means, and is refused as clearly."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from mdata.domain.escape import quote
from mdata.domain.suggest import did_you_mean

Parameters = Mapping[str, Sequence[str]]


def refuse_others(parameters: Parameters, allowed: tuple[str, ...]) -> None:
    """Raise ValueError for a parameter that an address does not have."""
    for name in parameters:
        if name not in allowed:
            known = f"there are {', '.join(allowed)}{did_you_mean(name, allowed)}"
            raise ValueError(f"{quote(name)} is no parameter of this address; {known}")


def every(parameters: Parameters, name: str, parse: Callable[[str], Any]) -> Iterator[Any]:
    """Yield what each value of a parameter stands for; raise ValueError with a sentence that names it."""
    for text in parameters.get(name, ()):
        try:
            yield parse(text)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error


def one(parameters: Parameters, name: str, parse: Callable[[str], Any]) -> Any:
    """Return what the only value of a parameter stands for, None where it is not given."""
    found = list(every(parameters, name, parse))
    if len(found) > 1:
        raise ValueError(f"{name} may be given once only")
    return found[0] if found else None


def one_of(words: Sequence[str]) -> Callable[[str], str]:
    """Return a parser that takes one of these words."""

    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(f"{quote(text)} is none of {', '.join(words)}{did_you_mean(text, words)}")
        return text

    return parse
