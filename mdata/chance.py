"""The source of random numbers, which commands pass to what needs one."""


def uniform(low: float, high: float) -> float:
    """Return a random number between `low` and `high`, different in every process."""
    # Imported at the first draw, which a command with nothing to do never makes.
    import random

    return random.SystemRandom().uniform(low, high)
