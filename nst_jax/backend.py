"""JAX's devices. They are asked for here alone, so that every failure becomes one line with a cure.

JAX starts its backend (the runtime of a CPU, GPU or TPU) when it first needs a device. What fails
there, a driver or a plugin or another process, raises errors of many classes, whose words are meant
for programmers of those.
"""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import jax

# Words in what JAX, XLA or a plugin says, and what then helps. One text may hold several of them:
# the first that fits is taken, and the most certain stand first.
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
# What helps if no such word is found: the device may not exist, or jaxlib may be built without it.
_PLATFORM_CURES = {
    "cuda|gpu": "see that nvidia-smi lists a GPU, and pip install 'nst_jax[cuda]'",
    "tpu": "see that this is a TPU host, and pip install 'nst_jax[tpu]'",
}
# JAX wraps its own advice around a plugin's error. We remove it: it names settings, and no cause.
_WRAPPING = re.compile(r"^Unable to initialize backend '\w+': | \((set JAX|you may need).*\)$")


def platform() -> str:
    """What JAX computes on: "cpu", "gpu" (NVIDIA's and AMD's) or "tpu".

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

    Without it they are those of this process.

    Raises:
      RuntimeError: see `start`.
    """
    start()
    return jax.devices()


# Every question about a device calls this, so that success is kept. Failure is not, and the next
# call tries again: the process that held the GPU may have ended.
@cache
def start() -> None:
    """Starts JAX's backend, unless it has started.

    After this `jax.config` can no longer choose another platform.

    Raises:
      RuntimeError: there is no device to be had; one line that says what to do.
    """
    with _messages_of_one_line():
        try:
            jax.local_devices()
        # Of every class: JAX raises AssertionError and RuntimeError, and plugins their own.
        except Exception as error:
            raise RuntimeError(_in_words(str(error), jax.config.jax_platforms or "")) from error


def _in_words(said: str, wanted: str) -> str:
    """The line for a person: the device, the reason, the cure.

    Args:
      said: the error's text, by JAX; empty where it finds no GPU.
      wanted: the platforms that were asked for, as JAX_PLATFORMS names them ("cuda,cpu"); empty
        if none were.
    """
    device = f"the device that JAX_PLATFORMS={wanted} asks for" if wanted else "a device"
    first = _WRAPPING.sub("", said.partition("\n")[0]).strip(" .")
    reason = f"{first:.300}" or "there is none"
    return f"JAX cannot start {device}: {reason}; {_cure(said, wanted)}"


def _cure(said: str, wanted: str) -> str:
    """What to do, and where a CPU was not what failed, that it would do."""
    cures = [cure for words, cure in _CURES.items() if re.search(words, said)]
    cures += [cure for names, cure in _PLATFORM_CURES.items() if re.search(names, wanted or said)]
    first = cures[:1] or ["the platforms are cpu, cuda and tpu"]
    return ", or ".join([*first, *["set JAX_PLATFORMS=cpu to use the CPU"] * (wanted != "cpu")])


@contextmanager
def _messages_of_one_line() -> Iterator[None]:
    """Cuts what JAX logs on the way to one line each, such as a plugin that it passes over."""
    # JAX logs such a plugin with its traceback, which looks like the failure of a run that goes on.
    logger = logging.getLogger("jax._src.xla_bridge")
    logger.addFilter(_shorten)
    try:
        yield
    finally:
        logger.removeFilter(_shorten)


def _shorten(record: logging.LogRecord) -> bool:
    """A filter of `logging` that drops nothing: it writes the error behind the message."""
    error = record.exc_info[1] if record.exc_info else None
    said = [record.getMessage(), *([str(error)] if error else [])]
    record.msg, record.args = ": ".join(each.partition("\n")[0] for each in said), ()
    record.exc_info = None
    return True
