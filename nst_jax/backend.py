"""JAX's devices. They are asked for here alone: whatever keeps JAX from one is a line with a cure.

JAX starts its backend when it first needs a device, and what fails there raises errors of many
classes, with other programs' words.
"""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import jax

# By words in what JAX, XLA or a plugin says, the most certain first.
_CURES = {
    "already in use|in use by|busy": "another process holds it: end that one, or wait for its end",
    "RESOURCE_EXHAUSTED|OUT_OF_MEMORY|[Oo]ut of memory|[Ff]ailed to allocate": (
        "another process holds its memory (nvidia-smi names it): end that one, or set "
        "XLA_PYTHON_CLIENT_PREALLOCATE=false"
    ),
    "API version|[Mm]ismatch|[Ii]ncompatible|[Uu]ndefined symbol": (
        "jax, jaxlib and the device's plugin have to be of one version: install them anew with "
        "pip install --upgrade 'nst_jax[cuda]', on a TPU 'nst_jax[tpu]'"
    ),
}
_BUILDS = {
    "cuda|gpu": "see that nvidia-smi lists a GPU, and pip install 'nst_jax[cuda]'",
    "tpu": "see that this is a TPU host, and pip install 'nst_jax[tpu]'",
}
# What JAX appends names variables of its own and no cause.
_APPENDED = re.compile(r"^Unable to initialize backend '\w+': | \((set JAX|you may need).*\)$")


def platform() -> str:
    """What JAX computes on: "cpu", "gpu" or "tpu".

    Raises:
      RuntimeError: see `start`.
    """
    start()
    return jax.default_backend()


def devices() -> list[jax.Device]:
    """The devices of this process, one at least.

    Raises:
      RuntimeError: see `start`.
    """
    start()
    return jax.local_devices()


def devices_of_all_processes() -> list[jax.Device]:
    """The devices of all processes that `jax.distributed` has brought together.

    Raises:
      RuntimeError: see `start`.
    """
    start()
    return jax.devices()


@cache
def start() -> None:
    """Starts JAX's backend, unless it has started.

    Raises:
      RuntimeError: there is no device to be had; one line that says what to do.
    """
    with _messages_of_one_line():
        try:
            jax.local_devices()
        # AssertionError, RuntimeError, those of plugins.
        except Exception as error:
            raise RuntimeError(_in_words(str(error), jax.config.jax_platforms or "")) from error


def _in_words(said: str, wanted: str) -> str:
    """The line for a person.

    Args:
      said: by JAX; nothing where it finds no GPU.
      wanted: the platforms that were asked for, as JAX_PLATFORMS names them.
    """
    device = f"the device that JAX_PLATFORMS={wanted} asks for" if wanted else "a device"
    first = _APPENDED.sub("", said.partition("\n")[0]).strip(" .")
    reason = f"{first:.300}" or "there is none"
    return f"JAX cannot start {device}: {reason}; {_cure(said, wanted)}"


def _cure(said: str, wanted: str) -> str:
    cures = [cure for words, cure in _CURES.items() if re.search(words, said)]
    cures += [cure for names, cure in _BUILDS.items() if re.search(names, wanted or said)]
    first = cures[:1] or ["the platforms are cpu, cuda and tpu"]
    return ", or ".join([*first, *["set JAX_PLATFORMS=cpu to use the CPU"] * (wanted != "cpu")])


@contextmanager
def _messages_of_one_line() -> Iterator[None]:
    """What JAX logs on the way, such as a plugin that it passes over, without tracebacks."""
    logger = logging.getLogger("jax._src.xla_bridge")
    logger.addFilter(_shortened)
    try:
        yield
    finally:
        logger.removeFilter(_shortened)


def _shortened(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    said = [record.getMessage(), *([str(error)] if error else [])]
    record.msg, record.args = ": ".join(each.partition("\n")[0] for each in said), ()
    record.exc_info = None
    return True
