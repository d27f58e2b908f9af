"""What is refused before any work: wrong settings, and results that cannot be written."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from nst_jax import image as images
from nst_jax.config import (
    PREVIOUS,
    RELIABLE,
    Config,
    RunConfig,
    StylizeConfig,
    SweepConfig,
    VideoConfig,
    contents_of,
    pictures_of,
    stages_of,
    terms_of,
)
from nst_jax.driver import check_settings
from nst_jax.optimizers import averaged, named
from nst_jax.runlog import Variant
from nst_jax.runs import tensorboard
from nst_jax.runs.grid import variants_of
from nst_jax.runs.guides import check_guides
from nst_jax.runs.objectives import check_weights
from nst_jax.runs.preparation import make_terms, method_of, sources_of
from nst_jax.system import files

LOG_SUFFIXES = (".h5", ".hdf5")


def check_config(config: Config) -> None:
    """Refuses settings that are wrong whatever the pictures are.

    Raises:
      ValueError: one line that names the setting, what was expected and what came.
    """
    _check_ranges(config)
    _check_terms(config)
    _check_stages(config)
    _check_what_is_kept(config)
    _check_judges(config)
    method_of(config)
    check_variants(variants_of(config), config)
    if config.snapshot_every > config.steps:
        raise ValueError(
            f"the snapshot period must be at most the number of steps, {config.steps}, got "
            f"{config.snapshot_every}"
        )


def _check_ranges(config: Config) -> None:
    if not 1 / 64 <= config.style_scale <= 64:
        raise ValueError(f"the style scale must be from 1/64 to 64, got {config.style_scale}")
    size, style_size = config.longest_sides
    for name, value, least in (
        ("size", size, 1),
        ("style size", style_size, 1),
        ("snapshot period", config.snapshot_every, 0),
        ("initial noise", config.init_noise, 0),
        ("batch", getattr(config, "batch", None), 1),
        ("number of rows of a strip", config.strips if isinstance(config.strips, int) else None, 1),
    ):
        if value is not None and not least <= value < np.inf:
            raise ValueError(f"the {name} must be at least {least}, got {value}")
    if config.style_scale != 1 and style_size is None:
        raise ValueError(
            "--style-scale is a factor of the style's size: give --style-size in pixels"
        )
    if config.gray and config.colors != "style":
        raise ValueError(
            f"--gray keeps the result gray, and --colors {config.colors} gives it colors: leave "
            "one of them out"
        )
    if config.rematerialize and isinstance(config.strips, int):
        raise ValueError(
            "--strips computes activations twice already: leave it or --rematerialize out"
        )
    if isinstance(config, StylizeConfig) and config.distributed and isinstance(config.strips, int):
        raise ValueError(
            "--strips computes a picture on one device, and --distributed spreads its rows over "
            "those of all processes: leave one of them out"
        )
    if config.enlarge and size is None and style_size is None:
        raise ValueError("there is nothing to enlarge to: give a size in pixels, or no --enlarge")


def _check_terms(config: Config) -> None:
    made = make_terms(config)
    for variant in variants_of(config):
        check_weights(variant.weights, made)
    own = (PREVIOUS, RELIABLE) if isinstance(config, VideoConfig) else ()
    check_guides(terms_of(config), sources_of(config), made, own=own)
    if isinstance(config, SweepConfig) and not config.styles:
        raise ValueError("there is no style picture: name one or more after the content")
    if not any(term.layers for term in made.values()):
        raise ValueError(
            "there is nothing to match: no term reads a layer of the network; name a content layer "
            "or a style layer"
        )


def _check_stages(config: Config) -> None:
    named = {name for spec in stages_of(config) for name in spec.weights}
    if unknown := sorted(named - set(terms_of(config))):
        raise ValueError(
            f"--stages has a weight of {', '.join(unknown)}: the terms are "
            f"{', '.join(terms_of(config))}"
        )
    if config.carry_state and not config.stages:
        raise ValueError(
            "--carry-state takes the optimizer's state from stage to stage: give --stages, or "
            "leave it out"
        )


def _check_judges(config: Config) -> None:
    if isinstance(config, SweepConfig) and config.judges and not config.metrics:
        raise ValueError("--judges names networks for --metrics: give both, or neither")


def _check_what_is_kept(config: Config) -> None:
    if config.snapshot_every and not config.log:
        raise ValueError("snapshots are kept in the run log: give --log with --snapshot-every")
    if config.keep_state and not config.log:
        raise ValueError("the state is kept beside the run log: give --log with --keep-state")
    if config.keep_state and isinstance(config, SweepConfig) and config.distributed:
        raise ValueError(
            "--keep-state keeps nothing of a --distributed sweep: leave one of them out"
        )


def check_variants(variants: Sequence[Variant], config: RunConfig) -> None:
    """Refuses variants that no run can work with.

    Args:
      variants: of a run.
      config: its settings.

    Raises:
      ValueError: one line that names the setting.
    """
    if not variants:
        raise ValueError("the sweep has no variants: every list of settings needs a value")
    for variant in variants:
        optimizer = averaged(named(variant.optimizer), config.average)
        check_settings(
            num_steps=config.steps,
            learning_rate=variant.learning_rate if optimizer.has_rate else 1.0,
            tolerance=config.tolerance,
        )
        if config.carry_state and optimizer.line_search:
            raise ValueError(
                f"--carry-state has no use for {variant.optimizer}, whose curvature is that of the "
                "size before: leave one of them out"
            )
        if not 0 <= variant.seed < 2**63:
            raise ValueError(f"the seed must be at least 0 and below 2^63, got {variant.seed}")


def check_outputs(config: Config) -> None:
    """Refuses results that cannot be written, or would overwrite something.

    Raises:
      ValueError, OSError: one line that names the file.
    """
    outputs = list(_outputs(config))
    if isinstance(config, StylizeConfig):
        _check_pictures(config)
    taken = {path.resolve(): "an input" for path in _inputs(config)}
    for path, _ in outputs:
        if use := taken.get(path.resolve()):
            raise ValueError(f"{path} is {use}; write the result somewhere else")
        taken[path.resolve()] = "named for two results"
    for path, suffixes in outputs:
        files.check_output(path, force=config.force, suffixes=suffixes)
    if config.tensorboard:
        tensorboard.check(config.tensorboard, len(variants_of(config)))


def _check_pictures(config: StylizeConfig) -> None:
    if config.contents and config.output.suffix.lower() in images.SUFFIXES:
        raise ValueError(
            f"--output {config.output} is one picture, and there are "
            f"{len(contents_of(config))} contents: give a folder"
        )
    if config.contents and config.log and config.log.exists() and not config.force:
        raise FileExistsError(
            f"{config.log} exists: nst-jax resume {config.log} goes on with its run, --force "
            "begins anew"
        )
    for path in pictures_of(config):
        if config.alpha == "keep":
            images.check_takes_alpha(path)
        if config.depth == 16:
            images.check_takes_16_bits(path)


def _outputs(config: Config) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """The files that a run writes, with the endings that each may have."""
    if config.log:
        yield config.log, LOG_SUFFIXES
    if isinstance(config, SweepConfig):
        if config.report:
            yield config.report, (".html",)
        return
    for path in pictures_of(config):
        yield path, images.SUFFIXES
    if config.figures:
        # Matplotlib takes half a second to load: only runs with figures wait for it.
        from nst_jax.report import plotting

        for name in plotting.RUN_FIGURES:
            yield config.figures / name, (".png",)


def _inputs(config: Config) -> list[Path]:
    """All files that a run reads."""
    named = [Path(config.weights)] if config.weights not in (None, "random") else []
    return [*sources_of(config).paths, *named]
