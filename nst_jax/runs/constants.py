"""The constants of a run's optimizers, as they are written: "beta_1=0.95"."""

from nst_jax.config import Config, SweepConfig
from nst_jax.optimizers import check_constant


def constants_of(config: Config) -> dict[str, float]:
    """The values of `--constants`, by name.

    Raises:
      ValueError: one that is no number, of no optimizer of the run, out of range, or given twice.
    """
    found: dict[str, float] = {}
    for text in config.constants:
        name, value = _parsed(text)
        if name in found:
            raise ValueError(f"--constants: {name} is given twice")
        try:
            check_constant(name, value, _optimizers_of(config))
        except ValueError as error:
            raise ValueError(f"--constants {text}: {error}") from None
        found[name] = value
    return found


def _optimizers_of(config: Config) -> tuple[str, ...]:
    return config.optimizers if isinstance(config, SweepConfig) else (config.optimizer,)


def _parsed(text: str) -> tuple[str, float]:
    name, _, number = text.partition("=")
    try:
        return name, float(number)
    except ValueError:
        raise ValueError(f"--constants {text}: expected NAME=NUMBER, as beta_1=0.95") from None
