"""What a run reads: pictures and a network, known again by their hashes."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nst_jax import image as images
from nst_jax import vgg
from nst_jax import weights as network_weights
from nst_jax.choices import Alpha, Arch
from nst_jax.config import Config, RunConfig, StylizeConfig, SweepConfig
from nst_jax.objective import FeatureFn
from nst_jax.runlog import RunRecord, Variant
from nst_jax.runs.grid import variants_of
from nst_jax.system import files

_STARTS = ("content", "noise", "style")


class Inputs(NamedTuple):
    """The pictures of a run.

    Attributes:
      content: RGB in [0, 1].
      styles: `{name: picture}`, as the variants name them.
      starts: pictures to start from, by the path in `Variant.init`.
      alpha: what the result shall have of the content's transparency.
    """

    content: np.ndarray
    styles: Mapping[str, np.ndarray]
    starts: Mapping[str, np.ndarray]
    alpha: np.ndarray | None = None

    def start(self, variant: Variant, *, noise: float, gray: bool) -> np.ndarray:
        """The initial image of a variant."""
        return images.initial_image(
            self.starts.get(variant.init, variant.init),
            self.content,
            self.styles[variant.style],
            seed=variant.seed,
            noise=noise,
            gray=gray,
        )


class Network(NamedTuple):
    """A network as a function of an image, what tells its weights from others, and its form."""

    feature_fn: FeatureFn
    name: str
    sha256: str
    form: vgg.Form


def paths(config: Config) -> list[Path]:
    """All files that a run reads."""
    named = [Path(config.weights)] if config.weights not in (None, "random") else []
    return [config.content, *_styles(config), *_starts(config), *named]


def _styles(config: Config) -> tuple[Path, ...]:
    return config.styles if isinstance(config, SweepConfig) else (config.style,)


def _starts(config: Config) -> list[Path]:
    inits = {variant.init for variant in variants_of(config)}
    return [Path(init) for init in sorted(inits - set(_STARTS))]


def load_pictures(
    config: Config, variants: Sequence[Variant], say: Callable[[str], None]
) -> Inputs:
    """Reads the pictures of some variants.

    Args:
      config: settings of the run.
      variants: those of this process.
      say: gets a line for whatever their owner may not expect.

    Raises:
      ValueError, OSError: one line that names the file.
    """
    with images.notes(say):
        size, style_size = config.longest_sides
        content, alpha = images.load_with_alpha(config.content, size=size, enlarge=config.enlarge)
        styles = {
            variant.style: images.load(Path(variant.style), size=style_size, enlarge=config.enlarge)
            for variant in {variant.style: variant for variant in variants}.values()
        }
        inits = {variant.init for variant in variants} - set(_STARTS)
        starts = {
            init: images.load_part(_init_path(init), *content.shape[:2]) for init in sorted(inits)
        }
    _check_sizes(config, {str(config.content): content, **styles})
    _say_transparency(config, alpha, say)
    pictures = Inputs(content, styles, starts, alpha if _alpha_of(config) == "keep" else None)
    if config.gray:
        return _in_gray(pictures)
    if all(map(images.is_gray, (content, *styles.values()))):
        say("note: content and style are gray, the result may not be: --gray keeps it gray")
    return pictures


def _say_transparency(config: Config, alpha: np.ndarray | None, say: Callable[[str], None]) -> None:
    wanted = _alpha_of(config)
    if alpha is None and wanted == "keep":
        say(f"note: {config.content}: it is opaque: --alpha keep changes nothing")
    elif alpha is not None:
        then = {
            "white": "; --alpha keep makes the result transparent too",
            "keep": "; the result will be transparent too",
            None: "",
        }
        say(f"note: {config.content}: it is transparent: laid on white{then[wanted]}")


def _alpha_of(config: Config) -> Alpha | None:
    """What becomes of the content's transparency; a sweep has no use for it."""
    return config.alpha if isinstance(config, StylizeConfig) else None


def _in_gray(pictures: Inputs) -> Inputs:
    styles, starts = (
        {name: images.to_gray(picture) for name, picture in named.items()}
        for named in (pictures.styles, pictures.starts)
    )
    return pictures._replace(content=images.to_gray(pictures.content), styles=styles, starts=starts)


def _check_sizes(config: RunConfig, pictures: dict[str, np.ndarray]) -> None:
    layers = (*config.content_layers, *config.style_layers)
    deepest = max(layers, key=lambda layer: vgg.smallest_side([layer], config.arch))
    side = vgg.smallest_side([deepest], config.arch)
    for path, picture in pictures.items():
        height, width = picture.shape[:2]
        if min(height, width) < side:
            raise ValueError(
                f"{path} is too small: {width} x {height} pixels at this size, but "
                f"{deepest} needs at least {side} on each side; use a larger picture, --size, "
                "--enlarge, or no layer so deep"
            )


def _init_path(text: str) -> Path:
    path = Path(text)
    if not path.exists():
        raise ValueError(
            f"the start must be content, noise, style or a picture, got {text!r}: "
            f"{files.absence(path)}"
        )
    return path


def load_network(config: RunConfig, form: vgg.Form, say: Callable[[str], None]) -> Network:
    """Finds, reads and names the network."""
    source = network_weights.resolve(config.weights, arch=config.arch)
    params = network_weights.load_params(config.weights, arch=config.arch)
    say(f"weights: {source.description}")
    layers = layers_of((*config.content_layers, *config.style_layers), config.arch)
    feature_fn = vgg.feature_fn(
        params,
        layers,
        arch=config.arch,
        pooling=config.pooling,
        border=config.border,
        **form._asdict(),
        rematerialize=config.rematerialize,
    )
    sha256 = network_weights.params_sha256(params)
    return Network(feature_fn, source.name, sha256, form)


def layers_of(names: Sequence[str], arch: Arch) -> tuple[str, ...]:
    """Layers by Keras's names, each once."""
    return tuple(dict.fromkeys(vgg.canonical_name(name, arch) for name in names))


def hashes(config: Config, network: Network) -> dict[str, str]:
    """Of the files and of the weights, as attributes of the run log."""
    return {**picture_hashes(config), "weights_sha256": network.sha256}


def picture_hashes(config: Config) -> dict[str, str]:
    """Of the files of the pictures, as attributes of the run log."""
    return {
        "content_sha256": _sha256([config.content]),
        "style_sha256": _sha256(_styles(config)),
        "start_sha256": _sha256(_starts(config)),
    }


def _sha256(paths: Sequence[Path]) -> str:
    return ",".join(map(files.sha256, paths))


def check_same(record: RunRecord, present: Mapping[str, str]) -> None:
    """Refuses a log whose inputs are not those that its settings name any more.

    Args:
      record: the log.
      present: see `hashes`.

    Raises:
      ValueError: one line that names the input.
    """
    for name, value in present.items():
        # Older logs have no hash of a picture to start from.
        if record.attributes.get(name, value) != value:
            raise ValueError(
                f"{record.path} cannot be used: its {name.removesuffix('_sha256')} has "
                "changed since it began"
            )
