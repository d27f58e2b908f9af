"""The progress bar of a run, on standard error."""

from collections.abc import Sequence

import numpy as np
from tqdm import tqdm

from nst_jax.driver import Chunk
from nst_jax.runlog import Variant
from nst_jax.runs.plans import Plan
from nst_jax.system.console import informs


class ProgressBar:
    """Steps of all variants, and the best total of each optimizer so far."""

    def __init__(self, steps: int, variants: Sequence[Variant], progress: bool | None):
        self._steps, self._variants = steps, variants
        if progress is None and not informs():
            progress = False
        self._best: dict[str, float] = {}
        self._bar = tqdm(
            total=steps * len(variants),
            unit="step" if len(variants) == 1 else "variant-step",
            disable=None if progress is None else not progress,
        )

    def __enter__(self) -> "ProgressBar":
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.close()

    def show(self, plan: Plan, chunk: Chunk) -> None:
        """Takes note of a chunk that has been run."""
        count = plan.count
        optimizer = self._variants[plan.start].optimizer
        totals = chunk.history.terms.total[-1, :count]
        best = float(np.min(totals[np.isfinite(totals)], initial=np.inf))
        self._best[optimizer] = min(self._best.get(optimizer, np.inf), best)
        losses = " ".join(f"{name} {loss:.4g}" for name, loss in self._best.items())
        self._bar.set_postfix_str(losses, refresh=False)
        self._bar.update(count * len(chunk.seconds))

    def skip(self, plan: Plan) -> None:
        """Takes note of a program that had ended before."""
        self._bar.update(self._steps * (plan.count))

    def pass_over(self, steps: int) -> None:
        """Takes note of steps that had been done before."""
        self._bar.update(steps)
