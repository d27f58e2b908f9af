"""Outermost programs, compiled with the options that the compiler of this device needs.

jaxlib's CPU compiler contains oneDNN, which uses the processor's matrix unit (AMX) for bfloat16 and
has faster convolutions and products in float32. From jaxlib 0.11 on, options of the single program
reach it. They are experimental, and a version of jaxlib may ignore them: whether they work is read
from the text of a small compiled program.
"""

import platform
import warnings
from collections.abc import Callable
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from nst_jax import backend

_ONEDNN: dict[str, bool | str] = {
    "xla_cpu_experimental_onednn_custom_call": True,
    # An empty list leaves no kind of operation to YNNPACK, which would otherwise take the matrix
    # products before oneDNN sees them.
    "xla_cpu_experimental_ynn_fusion_type": "",
}
# Linux's flag for a matrix unit. Vector instructions for bfloat16 (avx512_bf16) are not enough:
# with them alone a step takes 2.3 times as long as in float32 (2026-11, on a processor that has
# both, by ONEDNN_MAX_CPU_ISA).
_MATRIX_UNIT = "amx_bf16"
_CACHE_WARNING = "Error writing persistent compilation cache .*bad_alloc"


class Program:
    """`jax.jit` of a function, with this device's compile options; not for use inside another one.

    JAX takes such options for whole programs only: a jitted function that is called while another
    one is traced becomes part of that one's program, and may have none.
    """

    def __init__(self, function: Callable, **options: Any):
        """A program that is compiled when it is first called.

        Args:
          function: pure, of arrays and pytrees.
          **options: of `jax.jit`, such as `static_argnames` and `donate_argnums`.
        """
        self._function, self._options = function, options

    # Not in `__init__`, because modules make their programs when they are imported: asking for the
    # options starts JAX's backend, and importing must not.
    @cached_property
    def jitted(self) -> Any:
        """The jitted function itself, for `jax.export`.

        Raises:
          RuntimeError: JAX has no device; see `backend.start`.
        """
        if has_onednn():
            # XLA cannot serialize a program that calls oneDNN. JAX's cache of compiled programs
            # tries, fails, and would warn of each one.
            warnings.filterwarnings("ignore", _CACHE_WARNING)
        return jax.jit(self._function, compiler_options=options(), **self._options)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.jitted(*args, **kwargs)

    def lower(self, *args: Any, **kwargs: Any) -> jax.stages.Lowered:
        """The program for arguments of these shapes, not compiled yet, as of a jitted function.

        Args:
          *args: arrays, or `jax.ShapeDtypeStruct`s in their places.
          **kwargs: the same by name, and values of static arguments.
        """
        return self.jitted.lower(*args, **kwargs)


def options() -> dict[str, bool | str] | None:
    """Compile options for the outermost programs of this device; None where it needs none.

    Returns:
      For the argument `compiler_options` of `jax.jit`: XLA's names and values.

    Raises:
      RuntimeError: JAX has no device; see `backend.start`.
    """
    return dict(_ONEDNN) if has_onednn() else None


# Kept: compiling takes 50 ms, and every program asks.
@cache
def has_onednn() -> bool:
    """Whether JAX computes on a CPU and its convolutions can go by oneDNN.

    Raises:
      RuntimeError: JAX has no device; see `backend.start`.
    """
    if backend.platform() != "cpu":
        return False
    picture = jax.ShapeDtypeStruct((1, 8, 8, 16), jnp.bfloat16)
    kernel = jax.ShapeDtypeStruct((3, 3, 16, 16), jnp.bfloat16)
    try:
        # The number of the version would not tell: an older jaxlib takes the options and does
        # nothing, a newer one may refuse them.
        lowered = jax.jit(_convolution, compiler_options=dict(_ONEDNN)).lower(picture, kernel)
        return "__onednn$convolution" in (lowered.compile().as_text() or "")
    except (ValueError, jax.errors.JaxRuntimeError):
        return False


def _convolution(picture: jax.Array, kernel: jax.Array) -> jax.Array:
    return jax.lax.conv_general_dilated(
        picture, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def obstacle_to_bfloat16() -> str | None:
    """Why this CPU does not multiply bfloat16 faster than float32; None if it does.

    Returns:
      A sentence without its full stop, for a person.

    Raises:
      RuntimeError: JAX has no device; see `backend.start`.
    """
    if not has_onednn():
        return (
            f"jaxlib {jax.lib.__version__} has no way to oneDNN on this {platform.machine()} "
            "processor (0.11 and later have on x86_64, with Python 3.12 or later)"
        )
    if not _processor_multiplies_bfloat16():
        return f"this processor has no matrix unit for it ({_MATRIX_UNIT})"
    return None


@cache
def _processor_multiplies_bfloat16() -> bool:
    """Whether the processor has a matrix unit for bfloat16, as Linux tells; elsewhere no."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return False
    flags = next((line for line in lines if line.startswith("flags")), "")
    return _MATRIX_UNIT in flags.split()


def accelerator_multiplies_bfloat16() -> bool:
    """Whether the GPU or TPU has matrix units for bfloat16.

    Raises:
      RuntimeError: JAX has no device; see `backend.start`.
    """
    device = backend.devices()[0]
    if device.platform == "tpu":
        return True
    # NVIDIA's tensor cores multiply bfloat16 from compute capability 8.0 on. AMD reports a name
    # ("gfx90a") that is no number: such a GPU counts as one that does not, because none was tried.
    major = str(getattr(device, "compute_capability", "")).partition(".")[0]
    return major.isdigit() and int(major) >= 8
