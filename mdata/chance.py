"""The source of random numbers; commands pass it to the code that needs random numbers."""


def uniform(low: float, high: float) -> float:
    """Return a random number between `low` and `high`, different in every process."""
    # Imported at the first draw, which a command with nothing to do never makes.
    import random

    return random.SystemRandom().uniform(low, high)
