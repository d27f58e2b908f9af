"""Which variants share a compiled program: planned by what memory holds, written down, read again.

Variants of one content, style and optimizer run together, in batches of equal width; of a clip
variants of several styles as well, whose lanes have targets of their own. Programs of
one optimizer have equal shapes whatever their style and rates, and whatever their content if it has
the same size, so that each is compiled once.
"""

from collections.abc import Hashable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from typing import NamedTuple

from nst_jax import driver, placement, strips, terms, vgg
from nst_jax.choices import Driver
from nst_jax.runlog import Variant
from nst_jax.runs.problem import Method, Problem, Problems, Schedule
from nst_jax.system import memory, plain
from nst_jax.system.cluster import ALONE, Team


@dataclass(frozen=True)
class Plan:
    """One program of a run, as the log records it: resumed, it must be the same again.

    Attributes:
      start, stop: its variants, as columns of the log.
      width: lanes; those beyond its variants repeat the last one.
      chunk_length: steps between two looks at the outside.
      driver: "python" or "scan".
      devices: over how many devices the lanes are spread.
      row_devices: over how many the rows of each of their images are.
    """

    start: int
    stop: int
    width: int
    chunk_length: int
    driver: Driver
    devices: int
    row_devices: int = 1

    @property
    def columns(self) -> slice:
        """Of its variants in the log."""
        return slice(self.start, self.stop)

    @property
    def count(self) -> int:
        """The number of its variants."""
        return self.stop - self.start


class _Form(NamedTuple):
    """What programs of one shape have in common, see `Plan`."""

    width: int
    chunk_length: int
    driver: Driver
    devices: int
    row_devices: int


def plan(
    problems: Problems,
    method: Method,
    schedule: Schedule,
    variants: Sequence[Variant],
    *,
    batch: int | None,
    team: Team = ALONE,
    across_styles: bool = False,
) -> list[Plan]:
    """Cuts the variants into programs that fit into memory.

    Args:
      problems: what they minimise.
      method: how.
      schedule: how long.
      variants: those of one content, style and optimizer are neighbors.
      batch: lanes a program at most; None: what memory holds.
      team: the processes that run them.
      across_styles: variants of several styles are lanes of one program, too, where their targets
        have the same shapes.
    """

    def kind(variant: Variant) -> Hashable:
        together = across_styles and problems[variant.content].styles_share_programs
        return variant.content, None if together else variant.style, variant.optimizer

    plans: list[Plan] = []
    forms: dict[Hashable, _Form] = {}
    for _, group in groupby(variants, key=kind):
        alike = list(group)
        first = plans[-1].stop if plans else 0
        key = _shape_of(problems, alike[0], len(alike))
        # Asked for once a shape: it takes a compilation, and other widths would be other programs.
        if key not in forms:
            problem = problems[alike[0].content]
            forms[key] = _form_of(problem, method, schedule, alike, batch, team)
        plans += _plans_of(forms[key], first, first + len(alike))
    return plans


def _plans_of(form: _Form, first: int, last: int) -> list[Plan]:
    """The programs of variants of one content, style and optimizer, by their columns."""
    return [
        Plan(
            start,
            min(start + form.width, last),
            *form,
        )
        for start in range(first, last, form.width)
    ]


def _form_of(
    problem: Problem,
    method: Method,
    schedule: Schedule,
    alike: Sequence[Variant],
    batch: int | None,
    team: Team,
) -> _Form:
    count, available = len(alike), len(team.devices)
    # Those of a line search run one after another, and would leave all devices but one idle.
    one_by_one = method.optimizer(alike[0]).line_search
    devices = 1 if one_by_one else min(available, count)
    rows = 1
    # Of several styles the rows of targets would have to be spread lane by lane.
    if not are_of_several_styles(alike):
        rows = _row_devices(problem, alike[0], available // devices, evenly=team.count > 1)
    # XLA takes minutes for a line search in a program of several devices.
    is_spread = rows > 1 or team.count > 1
    how = "python" if one_by_one and is_spread else driver.default_driver()
    per_device = -(-count // devices)
    # What memory holds is asked for only where nobody has said it: it takes a compilation.
    most = batch or devices * _most_lanes(problem, method, alike, per_device)
    most = max(most // devices, 1) * devices
    width = -(-count // -(-count // most))
    width = -(-width // devices) * devices
    length = _chunk_length(problem, method, schedule, alike[0], width)
    return _Form(width, length, how, devices, rows)


def _row_devices(problem: Problem, variant: Variant, devices: int, *, evenly: bool) -> int:
    """Over how many devices the rows of an image are spread: whole images, of ordinary networks."""
    objective = problem.objectives[variant.style]
    if strips.are_in(objective) or not vgg.can_be_spread(terms.feature_fn_of(objective)):
        return 1
    return placement.row_devices(problem.shape[0], devices, evenly=evenly)


def plan_again(
    plans: Sequence[Plan],
    problems: Problems,
    method: Method,
    schedule: Schedule,
    variants: Sequence[Variant],
) -> list[Plan]:
    """The same programs for another number of steps; arguments as `plan`."""
    lengths: dict[Hashable, int] = {}
    for each in plans:
        variant = variants[each.start]
        key = _shape_of(problems, variant, each.width)
        if key not in lengths:
            problem = problems[variant.content]
            lengths[key] = _chunk_length(problem, method, schedule, variant, each.width)
    return [
        replace(each, chunk_length=lengths[_shape_of(problems, variants[each.start], each.width)])
        for each in plans
    ]


def _shape_of(problems: Problems, variant: Variant, count: int) -> Hashable:
    """What programs of so many variants or lanes have in common that are compiled once."""
    return problems.shape(variant.content), variant.optimizer, count


def _chunk_length(
    problem: Problem, method: Method, schedule: Schedule, variant: Variant, width: int
) -> int:
    optimizer = method.optimizer(variant)
    weights = problem.weights(variant)
    return driver.default_chunk_length(
        problem.objectives[variant.style],
        *driver.abstract_lanes(1, problem.shape, weights, optimizer=optimizer),
        optimizer=optimizer,
        num_steps=schedule.steps,
        snapshot_every=schedule.snapshot_every,
        lanes=width,
        tolerance=schedule.tolerance,
    )


def are_of_several_styles(variants: Sequence[Variant]) -> bool:
    """Whether variants of one program have targets of their own."""
    return len({variant.style for variant in variants}) > 1


def _most_lanes(problem: Problem, method: Method, alike: Sequence[Variant], wanted: int) -> int:
    variant, several = alike[0], are_of_several_styles(alike)
    optimizer = method.optimizer(variant)
    if optimizer.line_search:
        return wanted
    objective = problem.objectives[variant.style]

    def bytes_of(lanes: int) -> int:
        weights = problem.weights(variant, of_its_style=several)
        shapes = driver.abstract_lanes(lanes, problem.shape, weights, optimizer=optimizer)
        return driver.step_bytes(objective, *shapes, optimizer=optimizer)

    return memory.most_that_fit(bytes_of, wanted)


def as_json(plans: Sequence[Plan]) -> list[dict]:
    """The plans for the log; `from_json` gives them back."""
    return [asdict(each) for each in plans]


def from_json(plans: list, variants: int, steps: int) -> list[Plan]:
    """The plans of a log, for so many variants and steps.

    Raises:
      ValueError: they are not those of such a run.
    """
    found: list[Plan] = []
    for each in plans:
        found.append(_read(each))
        _check(found[-1], found[-2].stop if len(found) > 1 else 0, variants, steps)
    reached = found[-1].stop if found else 0
    if reached != variants:
        raise ValueError(f"its plans are for {reached} variants, not for {variants}")
    return found


def _read(value: object) -> Plan:
    try:
        return plain.read(value, Plan)
    except plain.OtherFields:
        raise ValueError("its plans are of another version of nst_jax") from None
    except TypeError as error:
        raise ValueError(f"{value} is no plan of a program: {error}") from None


def _check(each: Plan, reached: int, variants: int, steps: int) -> None:
    # Lanes are rounded up to a multiple of the devices, of which none is idle.
    if (
        each.start != reached
        or not 1 <= each.count <= each.width <= 2 * variants
        or not 1 <= each.devices <= each.width
        or each.row_devices < 1
        or not 1 <= each.chunk_length <= max(steps, 1)
    ):
        raise ValueError(f"{each} does not fit {variants} variants of {steps} steps")
