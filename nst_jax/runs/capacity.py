"""The largest pictures that devices of common sizes hold, whole and in strips."""

from numpy.polynomial import Polynomial

from nst_jax import weights
from nst_jax.choices import Arch, Pooling, Precision
from nst_jax.runs.estimate import Problem
from nst_jax.strips import ROWS
from nst_jax.system import environment, memory

_GIGABYTES = (8, 16, 24, 80)
# Three, because a strip grows with the side of the picture, and what is kept with its square.
_SIZES = (512, 1024, 2048)


def table(*, arch: Arch = "vgg19", pooling: Pooling = "max", precision: Precision) -> str:
    """What a device of 8, 16, 24 or 80 GB holds, with the report's layers and Adam.

    By the account of the compiler for the present device: that of another one makes other
    programs. Convolutions are ordinary ones, as a GPU has them.

    Args:
      arch, pooling, precision: of the network, see `vgg.extract_features`.

    Returns:
      Lines of a Markdown table, with a sentence before it.
    """
    params = weights.random_params(arch=arch)
    whole = Problem(params, arch=arch, pooling=pooling, precision=precision, convolutions="plain")
    forms = [_curve(whole), _curve(whole.in_strips(ROWS))]
    lines = [
        f"largest square for one variant in {precision}, by the compiler for: "
        f"{environment.device_line()}",
        "",
        f"| memory | whole | in strips of {ROWS} rows |",
        "|---:|---:|---:|",
    ]
    for gigabytes in _GIGABYTES:
        sides = [_side(form, memory.USABLE * gigabytes * 1e9) for form in forms]
        lines.append(f"| {gigabytes} GB | {sides[0]} | {sides[1]} |")
    return "\n".join(lines)


def _curve(problem: Problem) -> Polynomial:
    """Bytes over the side of a square."""
    needed = [problem.bytes(size, 1) for size in _SIZES]
    return Polynomial.fit(_SIZES, needed, deg=2)


def _side(curve: Polynomial, available: float) -> int:
    """The side at which so many bytes are taken."""
    return int(max((curve - available).roots().real.max(), 0))
