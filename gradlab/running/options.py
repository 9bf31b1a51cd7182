"""What the caller of a check may ask for."""


def check_seed(seed: int) -> None:
    """Raise ValueError unless `seed` can be one."""
    if seed < 0:
        raise ValueError(f"the seed is {seed}: give a whole number from 0 up")


def check_full_below(full_below: int | None) -> None:
    """Raise ValueError unless `full_below` is a number of elements, or None."""
    if full_below is not None and full_below < 0:
        raise ValueError(
            f"full_below is {full_below}: give a number of elements from 0 up, or None for no limit"
        )
