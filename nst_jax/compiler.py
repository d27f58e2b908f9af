"""Outermost programs, compiled with what the compiler of this device has to be told.

jaxlib's CPU compiler carries oneDNN, which has the processor's matrix unit (AMX) for bfloat16 and
the faster convolutions and products in float32. From jaxlib 0.11 on it is reached by options of
one program. They are experimental: whether they work is looked up in a compiled program.
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
    # No kind of operation is left to YNNPACK, which would take the products.
    "xla_cpu_experimental_ynn_fusion_type": "",
}
# The flag of Linux for a matrix unit. With AVX512_BF16 alone a step takes 2.3 times as long as in
# float32 (2026-11, on a processor that has both, by ONEDNN_MAX_CPU_ISA).
_MATRIX_UNIT = "amx_bf16"
_NOT_KEPT = "Error writing persistent compilation cache .*bad_alloc"


class Program:
    """`jax.jit` of a function for a program of its own: not for use inside another one.

    The options wait for the first call, because they start JAX's backend.
    """

    def __init__(self, function: Callable, **options: Any):
        self._function, self._options = function, options

    @cached_property
    def jitted(self) -> Any:
        """The jitted function itself, for `jax.export`."""
        if has_onednn():
            # XLA cannot write down a program that calls oneDNN: JAX's cache would warn of each.
            warnings.filterwarnings("ignore", _NOT_KEPT)
        return jax.jit(self._function, compiler_options=options(), **self._options)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.jitted(*args, **kwargs)

    def lower(self, *args: Any, **kwargs: Any) -> jax.stages.Lowered:
        """As that of a jitted function: shapes of the arguments are enough."""
        return self.jitted.lower(*args, **kwargs)


def options() -> dict[str, bool | str] | None:
    """Compile options for the outermost programs of this device; None where it needs none."""
    return dict(_ONEDNN) if has_onednn() else None


@cache
def has_onednn() -> bool:
    """Whether a CPU's convolutions can go by oneDNN: a program compiled for it says so."""
    if backend.platform() != "cpu":
        return False
    picture = jax.ShapeDtypeStruct((1, 8, 8, 16), jnp.bfloat16)
    kernel = jax.ShapeDtypeStruct((3, 3, 16, 16), jnp.bfloat16)
    try:
        # An older jaxlib takes the options and does nothing; a newer one may refuse them.
        compiled = jax.jit(_convolution, compiler_options=dict(_ONEDNN)).lower(picture, kernel)
        return "__onednn$convolution" in (compiled.compile().as_text() or "")
    except (ValueError, jax.errors.JaxRuntimeError):
        return False


def _convolution(picture: jax.Array, kernel: jax.Array) -> jax.Array:
    return jax.lax.conv_general_dilated(
        picture, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def obstacle_to_bfloat16() -> str | None:
    """Why a CPU does not multiply bfloat16 faster than float32 here; None if it does."""
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
    """Whether the processor has a matrix unit for bfloat16, as Linux tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return False
    flags = next((line for line in lines if line.startswith("flags")), "")
    return _MATRIX_UNIT in flags.split()


def accelerator_multiplies_bfloat16() -> bool:
    """Whether the GPU or TPU has matrix units for bfloat16."""
    device = backend.devices()[0]
    if device.platform == "tpu":
        return True
    # NVIDIA's tensor cores have it from 8.0 on; AMD's names ("gfx90a") are no numbers.
    major = str(getattr(device, "compute_capability", "")).partition(".")[0]
    return major.isdigit() and int(major) >= 8
