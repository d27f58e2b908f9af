"""What is measured of a device: the record, and which precision it speaks for."""

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from nst_jax.check.probe import Measured
from nst_jax.choices import Precision

COSINES = {"trained": 0.99, "random": 0.95}
"""The least cosine between the gradient in a lower precision and that in float32.

The loss of a random network is a small difference of large numbers, so less is asked of it.
"""

# A lower precision must be faster by this factor to be worth its errors.
_GAIN = 1.1


@dataclass
class Report:
    """What has been found out about a device.

    Attributes:
      network: of whose gradients the cosines are, "trained" or "random".
      weights: the name of its file, or "random".
      facts: see `probe.facts`.
      measured: by precision.
      errors: in words, by what could not be measured: a precision, or float32 once more.
      repeated: float32 once more, in another process.
      deterministic: float32 with --deterministic, if two runs of a GPU gave other bytes.
      seconds: that all of it took.
    """

    network: Literal["trained", "random"]
    weights: str
    facts: dict[str, Any] = field(default_factory=dict)
    measured: dict[Precision, Measured] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    repeated: Measured | None = None
    deterministic: Measured | None = None
    seconds: float = 0.0

    def cosine(self, precision: Precision) -> float | None:
        """The cosine of the angle between the gradients in a precision and in float32.

        Args:
          precision: one that was measured.

        Returns:
          The cosine; None if a gradient is not finite, or zero.
        """
        one, other = (np.array(self.measured[p].gradient) for p in (precision, "float32"))
        with np.errstate(invalid="ignore"):  # 0 / 0 for a gradient of zeros
            value = one @ other / (np.linalg.norm(one) * np.linalg.norm(other))
        return float(value) if np.isfinite(value) else None

    def same_bytes(self, precision: Precision) -> bool:
        """Whether all runs of the same settings gave the same picture and losses, to the byte.

        Args:
          precision: one that was measured.
        """
        runs = [self.measured[precision]]
        runs += [self.repeated] if precision == "float32" and self.repeated else []
        return len({digest for run in runs for digest in run.digests}) == 1

    def good(self, precision: Precision) -> bool:
        """Whether the gradient in a precision points where that in float32 does.

        Args:
          precision: one that was measured.
        """
        cosine = self.cosine(precision)
        return cosine is not None and cosine >= COSINES[self.network]

    @property
    def precision(self) -> Precision:
        """The precision to take: float32, unless a good one is clearly faster."""
        best: Precision = "float32"
        for precision, measured in self.measured.items():
            gain = _GAIN if best == "float32" else 1.0
            faster = gain * measured.milliseconds < self.measured[best].milliseconds
            best = precision if faster and self.good(precision) else best
        return best
