"""More steps than a run was started with: what may be asked for, and where it goes.

The old log, its picture and its page stay as they are. The new log begins with the rows of the old
one, and ends with the bytes of a run that had so many steps from the start. A log cannot grow:
`runlog.writing` says why.
"""

from dataclasses import replace
from pathlib import Path

from nst_jax import runlog
from nst_jax.config import Config, SweepConfig
from nst_jax.runlog import RunRecord
from nst_jax.system import files


def extended(record: RunRecord, config: Config, steps: int) -> Config:
    """The settings of a run of more steps, whose results lie beside those of the old one.

    Args:
      record: the log of the old run.
      config: its settings.
      steps: in all.

    Raises:
      ValueError: more steps are done, or more would change nothing.
    """
    done = len(record.rows.step)
    if steps < done:
        raise ValueError(f"it has done {done} steps: expected as many or more, got {steps}")
    if all(map(runlog.ended, record.variants)) and done < config.steps:
        raise ValueError(
            f"it ended after {done} of {config.steps} steps, because it converged or a value was "
            "not finite: more steps would change nothing"
        )
    # Whoever asks for more steps once may do so again.
    changed = replace(config, steps=steps, keep_state=True)
    if isinstance(changed, SweepConfig):
        return replace(
            changed, report=changed.report and beside(changed.report, config.steps, steps)
        )
    return replace(
        changed,
        output=beside(changed.output, config.steps, steps),
        figures=changed.figures and _within(changed.figures, config.steps, steps),
    )


def origin(record: RunRecord) -> dict[str, str]:
    """Where a log goes on from, as its attributes."""
    return {"parent": record.path.name, "parent_sha256": files.sha256(record.path)}


def beside(path: Path, old: int, new: int) -> Path:
    """Where a result of so many steps goes: run.h5 -> run-500.h5 -> run-1000.h5."""
    return path.with_stem(f"{path.stem.removesuffix(f'-{old}')}-{new}")


def _within(folder: Path, old: int, new: int) -> Path:
    """The same for figures, whose folder may be the present one: figures/500 -> figures/1000."""
    return (folder.parent if folder.name == str(old) else folder) / str(new)
