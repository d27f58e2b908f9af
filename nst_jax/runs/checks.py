"""What is refused before any work: wrong settings, and results that cannot be written."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from nst_jax import image as images
from nst_jax.config import Config, RunConfig, StylizeConfig, SweepConfig, terms_of
from nst_jax.driver import check_settings
from nst_jax.optimizers import named
from nst_jax.runlog import Variant
from nst_jax.runs import tensorboard
from nst_jax.runs.grid import variants_of
from nst_jax.runs.objectives import (
    CONTENT,
    OF_IMAGE,
    OF_PAIRS,
    STYLE,
    check_weights,
    references_of,
    region_of,
)
from nst_jax.runs.preparation import make_terms, sources_of
from nst_jax.system import files
from nst_jax.terms import Term

LOG_SUFFIXES = (".h5", ".hdf5")


def check_config(config: Config) -> None:
    """Refuses settings that are wrong whatever the pictures are.

    Raises:
      ValueError: one line that names the setting, what was expected and what came.
    """
    _check_ranges(config)
    _check_terms(config)
    _check_what_is_kept(config)
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
    ):
        if value is not None and not least <= value < np.inf:
            raise ValueError(f"the {name} must be at least {least}, got {value}")
    if config.style_scale != 1 and style_size is None:
        raise ValueError(
            "--style-scale is a factor of the style's size: give --style-size in pixels"
        )
    if config.enlarge and size is None and style_size is None:
        raise ValueError("there is nothing to enlarge to: give a size in pixels, or no --enlarge")


def _check_terms(config: Config) -> None:
    made = make_terms(config)
    for variant in variants_of(config):
        check_weights(variant.weights, made)
    _check_pictures(config, made)
    _check_blend(config, made)
    if isinstance(config, SweepConfig) and not config.styles:
        raise ValueError("there is no style picture: name one or more after the content")
    if not any(term.layers for term in made.values()):
        raise ValueError(
            "there is nothing to match: no term reads a layer of the network; name a content layer "
            "or a style layer"
        )


def _check_pictures(config: Config, made: Mapping[str, Term]) -> None:
    """Refuses terms that read pictures or regions that are not there, and some that none reads."""
    sources = sources_of(config)
    given = {CONTENT: "", STYLE: ""} | dict.fromkeys(sources.references, "--picture")
    for picture, option in ((CONTENT, "--mask"), (STYLE, "--style-mask")):
        given |= {region_of(picture, name): option for name in sources.masks[picture]}
    if sources.masks[STYLE] and len(sources.styles) > 1:
        raise ValueError(
            f"--style-mask is of one style picture, and there are {len(sources.styles)}: sweep "
            "over one style, or leave it out"
        )
    if twice := set(sources.references) & set(sources.masks[CONTENT]):
        raise ValueError(f"{min(twice)} is the name of a picture and of a region: rename one")
    for name, spec in terms_of(config).items():
        if spec.kind in OF_IMAGE and spec.reference not in (None, CONTENT):
            raise ValueError(
                f"the term {name!r} compares location by location ({spec.kind}): its reference "
                f"must be {CONTENT!r}, got {spec.reference!r}"
            )
        if spec.region and spec.region not in sources.masks[CONTENT]:
            raise ValueError(
                f"the term {name!r} names the region {spec.region!r}, which is not there: give "
                f"--mask {spec.region}=PATH"
            )
    read = references_of(made)
    if unknown := [name for name in read if name not in given]:
        raise ValueError(
            f"a term reads the picture {unknown[0]!r}, which is not there: give "
            f"--picture {unknown[0]}=PATH"
        )
    read = (*read, *sources.blend)
    if unread := [name for name, option in given.items() if option and name not in read]:
        name = unread[0].removeprefix(region_of(STYLE, ""))
        whose = " (it is of the terms of this region that read STYLE)" * (name != unread[0])
        raise ValueError(
            f"no term reads {given[unread[0]]} {name}{whose}: name it in the objective"
        )
    if sources.blend and STYLE not in read:
        raise ValueError(f"no term reads the blend: it takes the place of the picture {STYLE!r}")


def _check_blend(config: Config, made: Mapping[str, Term]) -> None:
    """Refuses a blend of pictures that some term cannot take for one."""
    if not config.blend:
        return
    if config.style_mask:
        raise ValueError(
            "--blend takes whole pictures, --style-mask a part of one: leave one of them out"
        )
    for name, spec in terms_of(config).items():
        if spec.kind in OF_PAIRS and STYLE in made[name].references:
            raise ValueError(
                f"the term {name!r} compares pairs of locations ({spec.kind}), which a blend has "
                "not: let it read one picture, or leave out --blend"
            )


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
        check_settings(
            num_steps=config.steps,
            learning_rate=variant.learning_rate if named(variant.optimizer).has_rate else 1.0,
            tolerance=config.tolerance,
        )
        if not 0 <= variant.seed < 2**63:
            raise ValueError(f"the seed must be at least 0 and below 2^63, got {variant.seed}")


def check_outputs(config: Config) -> None:
    """Refuses results that cannot be written, or would overwrite something.

    Raises:
      ValueError, OSError: one line that names the file.
    """
    outputs = list(_outputs(config))
    if isinstance(config, StylizeConfig) and config.alpha == "keep":
        images.check_takes_alpha(config.output)
    taken = {path.resolve(): "an input" for path in _inputs(config)}
    for path, _ in outputs:
        if use := taken.get(path.resolve()):
            raise ValueError(f"{path} is {use}; write the result somewhere else")
        taken[path.resolve()] = "named for two results"
    for path, suffixes in outputs:
        files.check_output(path, force=config.force, suffixes=suffixes)
    if config.tensorboard:
        tensorboard.check(config.tensorboard, len(variants_of(config)))


def _outputs(config: Config) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """The files that a run writes, with the endings that each may have."""
    if config.log:
        yield config.log, LOG_SUFFIXES
    if isinstance(config, SweepConfig):
        if config.report:
            yield config.report, (".html",)
        return
    yield config.output, images.SUFFIXES
    if config.figures:
        # Matplotlib takes half a second to load: only runs with figures wait for it.
        from nst_jax.report import plotting

        for name in plotting.RUN_FIGURES:
            yield config.figures / name, (".png",)


def _inputs(config: Config) -> list[Path]:
    """All files that a run reads."""
    named = [Path(config.weights)] if config.weights not in (None, "random") else []
    return [*sources_of(config).paths, *named]
