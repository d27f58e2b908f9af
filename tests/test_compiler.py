"""What the compiler and the processor can do: found by facts, and whether something is missing."""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nst_jax import compiler


def has_onednn():
    """Looked up anew: the answer is otherwise that of the first time."""
    return compiler.has_onednn.__wrapped__()


@pytest.mark.parametrize("options", [{}, {"xla_no_such_option": True}], ids=["ignored", "refused"])
def test_options_that_do_nothing_or_are_refused_are_no_onednn(options, monkeypatch):
    monkeypatch.setattr(compiler, "_ONEDNN", options)
    assert not has_onednn()


def test_onednn_is_there_from_python_3_12_on():
    x86 = "flags" in Path("/proc/cpuinfo").read_text() if sys.platform == "linux" else False
    if jax.default_backend() == "cpu" and x86:
        assert has_onednn() == (jax.__version_info__ >= (0, 11))


@pytest.mark.parametrize(
    ("onednn", "flags", "obstacle"),
    [
        (False, "amx_bf16", "has no way to oneDNN"),
        (True, "avx512f avx512_bf16 amx_tile", "no matrix unit for it (amx_bf16)"),
        (True, "avx512f amx_bf16 amx_tile", None),
    ],
)
def test_what_stands_in_the_way_of_bfloat16(onednn, flags, obstacle, monkeypatch):
    multiplies = compiler._processor_multiplies_bfloat16.__wrapped__
    monkeypatch.setattr(compiler, "has_onednn", lambda: onednn)
    monkeypatch.setattr(compiler, "_processor_multiplies_bfloat16", multiplies)
    monkeypatch.setattr(Path, "read_text", lambda path: f"model name : x\nflags : fpu {flags}\n")
    found = compiler.obstacle_to_bfloat16()
    assert found is None if obstacle is None else obstacle in found


def test_a_program_is_the_function():
    program = compiler.Program(lambda x, *, power: x**power, static_argnames="power")
    np.testing.assert_array_equal(program(jnp.arange(3.0), power=2), [0, 1, 4])
    assert program.lower(jnp.arange(3.0), power=2).compile()(jnp.arange(3.0))[2] == 4
