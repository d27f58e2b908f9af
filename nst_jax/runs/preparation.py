"""The one door for settings: from a config to what is run. Below it nobody sees the config."""

import os
from collections.abc import Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from nst_jax import backend, compiler, placement, strips, vgg
from nst_jax.config import (
    PREVIOUS,
    RELIABLE,
    Config,
    RunConfig,
    StylizeConfig,
    SweepConfig,
    VideoConfig,
    at_last_stage,
    at_stage,
    contents_of,
    layer_balance_of,
    pictures_of,
    stages_of,
    terms_of,
    to_json,
)
from nst_jax.config.terms import Terms
from nst_jax.runlog import Variant
from nst_jax.runs import inputs, judging, objectives, plans
from nst_jax.runs.constants import constants_of
from nst_jax.runs.grid import WHOLE, Share, variants_of
from nst_jax.runs.inputs import Network, Sources
from nst_jax.runs.judging import Panel
from nst_jax.runs.plans import Plan
from nst_jax.runs.problem import (
    Method,
    Pictures,
    Problem,
    Problems,
    Schedule,
    Stage,
    make_problem,
)
from nst_jax.runs.results import Outputs
from nst_jax.strips import Division
from nst_jax.system import environment, memory
from nst_jax.system.cluster import ALONE, Team
from nst_jax.system.console import Say, inform, warn
from nst_jax.system.interrupts import StopRequest
from nst_jax.terms import FeatureFn, Term


class Run(NamedTuple):
    """Everything that is ready before the first step.

    Attributes:
      stages: what is minimised, at one size after another; mostly one.
      method: how.
      schedule: how long.
      outputs: where it is written.
      variants: those of this process.
      plans: the programs in which they run; none until they are planned.
      network: whose features are compared.
      division: which pictures are computed in strips.
      share: which of all variants these are.
      batch: variants a program at most; None: what memory holds.
      settings: as plain values, for the log.
      terms: what has been set of each term, by name.
      hashes: of the files, of the weights and of the judges, as attributes of the log.
      panel: judges of the pictures that come out; None: they are not judged.
      team: the processes that compute it.
    """

    stages: Sequence[Stage]
    method: Method
    schedule: Schedule
    outputs: Outputs
    variants: Sequence[Variant]
    plans: Sequence[Plan]
    network: Network
    division: Division
    share: Share
    batch: int | None
    settings: dict[str, Any]
    terms: Terms
    hashes: dict[str, str]
    panel: Panel | None
    team: Team

    @property
    def problem(self) -> Problem:
        """What is minimised at the end for the first content."""
        return self.stages[-1].problem

    @property
    def pictures(self) -> Mapping[str, Pictures]:
        """Of each content, as large as what comes out."""
        return self.stages[-1].problems.pictures

    @property
    def alphas(self) -> dict[str, np.ndarray | None]:
        """By content the alpha of what comes out, (h, w); None: it is opaque."""
        return {name: own.alpha for name, own in self.pictures.items()}

    def planned(self, *, across_styles: bool = False) -> "Run":
        """The same run with the programs that fit into memory, see `plans.plan`."""
        parts = (self.stages[-1].problems, self.method, self.schedule, self.variants)
        found = plans.plan(*parts, batch=self.batch, team=self.team, across_styles=across_styles)
        return self._replace(plans=found)


def prepare(
    config: Config,
    *,
    share: Share = WHOLE,
    form: vgg.Form | None = None,
    division: Division | None = None,
    team: Team = ALONE,
    say: Say = inform,
    request: StopRequest | None = None,
) -> Run:
    """Reads what a run needs, and computes the targets of its first content.

    Args:
      config: of the run, checked.
      share: which of its variants.
      form: of the network, of a run to repeat; None: what is fastest here.
      division: of pictures into strips, of a run to repeat; None: that of the settings.
      team: the processes that compute it, each the same.
      say: gets each line for the person.
      request: of a signal, looked at between two pieces of work.

    Raises:
      ValueError, OSError: bad input; one line.
      interrupts.Stopped: a signal came.
    """
    request = request or StopRequest()
    prepare_device(config)
    variants = variants_of(config)[share.columns]
    last = at_last_stage(config)
    pictures = load_pictures(last, variants, say=say)
    say(f"device: {environment.device_line()}")
    if warning := environment.unused_gpu():
        warn(warning)
    request.check()
    panel = _load_panel(config, pictures, say)
    request.check()
    form = form or _form_of(config, len(variants), team)
    network = load_network(config, form, say=say)
    request.check()
    division = division or _division_of(config, network, len(variants), team)
    _check_team(team, network, division, pictures)
    _say_division(division, pictures, say)
    problems = _problems_of(last, network, division, pictures, say)
    stages = _stages_of(config, network, division, variants, problems)
    # Wait for XLA: an interpreter that ends during a computation crashes.
    jax.block_until_ready([stage.problem.objectives for stage in stages])
    request.check()
    return Run(
        stages=stages,
        method=method_of(config),
        schedule=Schedule(config.steps, config.snapshot_every, config.tolerance),
        outputs=_outputs_of(config, say),
        variants=variants,
        plans=(),
        network=network,
        division=division,
        share=share,
        batch=config.batch if isinstance(config, SweepConfig) else 1,
        settings=to_json(config),
        terms=terms_of(config),
        hashes={
            **sources_of(config).hashes(),
            "weights_sha256": network.sha256,
            **(panel.hashes if panel else {}),
        },
        panel=panel,
        team=team,
    )


def method_of(config: Config) -> Method:
    """How a run minimises.

    Raises:
      ValueError: a constant of no optimizer of the run, or out of range; one line.
    """
    optimizers = config.optimizers if isinstance(config, SweepConfig) else (config.optimizer,)
    constants = constants_of(config.constants, optimizers)
    return Method(config.optimizer_form, constants, config.average, config.carry_state)


def prepare_device(config: Config) -> None:
    """What has to come before JAX starts its backend."""
    if config.deterministic:
        os.environ |= environment.deterministic()


def sources_of(config: Config, variants: Sequence[Variant] | None = None) -> Sources:
    """The pictures that a run reads, or those that some of its variants need."""
    contents, styles = contents_of(config), config.styles
    if variants is not None:
        styles = tuple(dict.fromkeys(Path(variant.style) for variant in variants))
        # No log is without a content.
        own = tuple(dict.fromkeys(Path(variant.content) for variant in variants))
        contents = own or contents[:1]
    # A share may have no variants: it needs no pictures of others.
    chosen = variants_of(config) if variants is None else variants
    inits = {variant.init for variant in chosen}
    references = inputs.named_paths("--picture", config.picture)
    return Sources(
        contents,
        styles,
        tuple(sorted(inits)),
        references,
        {
            objectives.CONTENT: inputs.named_paths("--mask", config.mask),
            objectives.STYLE: inputs.named_paths("--style-mask", config.style_mask),
        },
        inputs.blend_of(config.blend, references),
    )


def load_pictures(config: Config, variants: Sequence[Variant], *, say: Say) -> dict[str, Pictures]:
    """The pictures that some variants of a run need; see `inputs.load_pictures`."""
    sources = sources_of(config, variants)
    pictures = inputs.load_pictures(
        sources,
        longest_sides=config.longest_sides,
        enlarge=config.enlarge,
        aspect=config.aspect,
        gray=config.is_gray,
        colors=config.colors,
        alpha=config.alpha if isinstance(config, StylizeConfig) else None,
        say=say,
    )
    one = next(iter(pictures.values()))
    inputs.check_sizes(
        {
            **{name: own.content for name, own in pictures.items()},
            **one.styles,
            **{str(sources.references[name]): x for name, x in one.references.items()},
        },
        objectives.layers_of(make_terms(config)),
        config.arch,
    )
    if isinstance(config, VideoConfig):
        return {name: _with_nothing_told(own) for name, own in pictures.items()}
    return pictures


def _with_nothing_told(pictures: Pictures) -> Pictures:
    nowhere = np.zeros(pictures.content.shape[:2], np.float32)
    return with_prediction(pictures, dict.fromkeys(pictures.styles, pictures.content), nowhere)


def with_prediction(
    pictures: Pictures, previous: Mapping[str, Float[np.ndarray, "h w 3"]], count: np.ndarray
) -> Pictures:
    """The pictures of a frame with what earlier results tell of it.

    Args:
      pictures: of the frame.
      previous: what they tell, by style.
      count: where it is reliable, (h, w), 1 or 0.
    """
    regions = {**pictures.masks[objectives.CONTENT], RELIABLE: count}
    return pictures._replace(
        of_styles={style: {PREVIOUS: picture} for style, picture in previous.items()},
        masks={**pictures.masks, objectives.CONTENT: regions},
    )


def make_terms(config: RunConfig, *, opaque: bool = False) -> dict[str, Term]:
    """The terms of a run by name; see `objectives.make_terms`.

    Args:
      config: of the run.
      opaque: of a content whose transparency is kept: what is not seen of it counts for nothing.
    """
    regions = inputs.named_paths("--style-mask", config.style_mask)
    specs = terms_of(config)
    specs = objectives.within(specs, objectives.OPAQUE) if opaque else specs
    return objectives.make_terms(specs, config.arch, regions)


def load_network(config: RunConfig, form: vgg.Form, *, say: Say) -> Network:
    """The network of a run; see `inputs.load_network`."""
    _say_form(form, say)
    return inputs.load_network(
        config.weights,
        objectives.layers_of(make_terms(config)),
        form,
        arch=config.arch,
        pooling=config.pooling,
        border=config.border,
        rematerialize=config.rematerialize,
        say=say,
    )


def _say_form(form: vgg.Form, say: Say) -> None:
    """What is not the default; and where a precision that was asked for is slower than it."""
    if form.precision != "float32":
        how = " by oneDNN" if form.convolutions == "onednn" else ""
        say(f"convolutions in {form.precision}{how}")
    if form == ("bfloat16", "plain") and backend.platform() == "cpu":
        obstacle = compiler.obstacle_to_bfloat16() or "the run that is repeated was plain"
        warn(f"bfloat16 is slower than float32 here: {obstacle}")


def _form_of(config: RunConfig, variants: int, team: Team) -> vgg.Form:
    """How the network is computed: with fewer variants than devices so that rows can be spread."""
    form = vgg.fastest_form(config.precision)
    is_spread = team.count > 1 or len(team.devices) > variants
    return form._replace(convolutions="plain") if is_spread else form


def _division_of(config: RunConfig, network: Network, variants: int, team: Team) -> Division:
    """Which pictures are computed in strips, as the settings say or by what is free."""
    # What is free differs between processes, and strips of one go by one device.
    if config.strips == "off" or team.count > 1:
        return Division()
    if config.strips == "auto":
        # Devices that lanes leave over take rows of the picture.
        is_spread = vgg.can_be_spread(network.feature_fn)
        share = max(1, len(backend.devices()) // max(variants, 1)) if is_spread else 1
        available = share * memory.available_bytes()
        return strips.division_for(network.feature_fn, network.form.precision, available)
    return Division(config.strips, whole_pixels=0)


def _check_team(
    team: Team, network: Network, division: Division, pictures: Mapping[str, Pictures]
) -> None:
    """Refuses several processes of which all but one would do what is done already.

    Raises:
      ValueError: nothing is left to spread over them; one line.
    """
    if team.count == 1:
        return
    shapes = [own.content.shape for own in pictures.values()]
    if not vgg.can_be_spread(network.feature_fn) or division.rows_for(*shapes):
        raise ValueError(
            "this run was begun by one process, in a form whose rows cannot be spread over "
            "several: go on without --distributed"
        )
    heights = [height for height, _, _ in shapes]
    devices = len(team.devices)
    if max(placement.row_devices(height, devices, evenly=True) for height in heights) == 1:
        raise ValueError(
            f"a picture of {max(heights)} rows is too small for {devices} devices in "
            f"{team.count} processes: a device has at least {placement.LEAST_ROWS}; start fewer, "
            "or leave --distributed out"
        )


def _say_division(division: Division, pictures: Mapping[str, Pictures], say: Say) -> None:
    shapes = [own.content.shape for own in pictures.values()]
    if rows := division.rows_for(*shapes):
        say(f"in strips of {rows} rows, which take less memory: each is computed twice")


def problem_of(
    config: RunConfig, feature_fn: FeatureFn, pictures: Pictures, *, say: Say = inform
) -> Problem:
    """What the variants of a content minimise; see `problem.make_problem`."""
    made = make_terms(config, opaque=pictures.alpha is not None)
    return _problem_of_terms(made, config, feature_fn, Division(), say, pictures)


def _problem_of_terms(
    made: dict[str, Term],
    config: RunConfig,
    feature_fn: FeatureFn,
    division: Division,
    say: Say,
    pictures: Pictures,
) -> Problem:
    specs = terms_of(config)
    return make_problem(
        feature_fn,
        pictures,
        made,
        {name: objectives.part_weights(specs[name], term) for name, term in made.items()},
        regions=inputs.regions_of(
            pictures.masks,
            made,
            arch=config.arch,
            border=config.border,
            say=say,
        ),
        division=division,
        layer_balance=layer_balance_of(config),
        noise=config.init_noise,
        gray=config.is_gray,
    )


def _problems_of(
    config: Config,
    network: Network,
    division: Division,
    pictures: Mapping[str, Pictures],
    say: Say,
) -> Problems:
    # Terms are made once: a function of one's own makes others each time, which compile anew.
    make = cache(partial(make_terms, config))
    given = config, network.feature_fn, division, say

    def problem(own: Pictures) -> Problem:
        return _problem_of_terms(make(opaque=own.alpha is not None), *given, own)

    return Problems(pictures, problem)


def problems_of_frame(run: Run, config: VideoConfig, pictures: Mapping[str, Pictures]) -> Problems:
    """What is minimised for one more frame of a run: by its terms and network.

    Args:
      run: of the first frame.
      config: of the frame.
      pictures: of the frame, by its name.
    """
    made = dict(run.problem.terms)
    given = made, config, run.network.feature_fn, run.division, _quiet
    return Problems(pictures, partial(_problem_of_terms, *given))


def _quiet(line: object) -> None:
    """What is to be said of the pictures has been said before."""
    del line


def _stages_of(
    config: Config,
    network: Network,
    division: Division,
    variants: Sequence[Variant],
    last: Problems,
) -> list[Stage]:
    """The stages of a run, of which the last one's problems are there."""
    specs = stages_of(config)
    if not specs:
        return [Stage(last, 0, config.steps)]
    stages: list[Stage] = []
    for spec in specs:
        begin = stages[-1].stop if stages else 0
        problems = last
        if spec is not specs[-1]:
            own = at_stage(config, spec)
            pictures = load_pictures(own, variants, say=_quiet)
            problems = _problems_of(own, network, division, pictures, _quiet)
        stages.append(Stage(problems, begin, begin + spec.steps, spec.rate, spec.weights))
    return stages


def _load_panel(config: Config, pictures: Mapping[str, Pictures], say: Say) -> Panel | None:
    """The judges of a sweep that asks for them."""
    if not (isinstance(config, SweepConfig) and config.metrics):
        return None
    judging.check_sizes(pictures)
    return judging.load_panel(config.judges, say=say)


def _outputs_of(config: Config, say: Say) -> Outputs:
    common = (config.log, config.tensorboard, config.keep_state)
    if isinstance(config, SweepConfig):
        return Outputs(*common, report=config.report)
    return Outputs(
        *common,
        pictures=pictures_of(config),
        figures=config.figures,
        depth=config.depth,
        profiles=inputs.load_profiles(contents_of(config), say) if config.icc == "keep" else {},
    )
