"""The constants of a run's optimizers, as they are written: "beta_1=0.95"."""

from collections.abc import Sequence

from nst_jax.optimizers import check_constant


def constants_of(texts: Sequence[str], optimizers: Sequence[str]) -> dict[str, float]:
    """The values of `--constants`, by name.

    Args:
      texts: `NAME=NUMBER` each.
      optimizers: names of those of the run.

    Raises:
      ValueError: one that is no number, of no optimizer of the run, out of range, or given twice.
    """
    found: dict[str, float] = {}
    for text in texts:
        name, value = _parsed(text)
        if name in found:
            raise ValueError(f"--constants: {name} is given twice")
        try:
            check_constant(name, value, optimizers)
        except ValueError as error:
            raise ValueError(f"--constants {text}: {error}") from None
        found[name] = value
    return found


def _parsed(text: str) -> tuple[str, float]:
    name, _, number = text.partition("=")
    try:
        return name, float(number)
    except ValueError:
        raise ValueError(f"--constants {text}: expected NAME=NUMBER, as beta_1=0.95") from None
