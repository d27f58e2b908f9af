"""What a run reads: pictures and a network, known again by their hashes."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nst_jax import image as images
from nst_jax import vgg
from nst_jax import weights as network_weights
from nst_jax.choices import Alpha, Arch, Border, Pooling
from nst_jax.objective import FeatureFn
from nst_jax.runlog import RunRecord
from nst_jax.runs.problem import Pictures
from nst_jax.system import files

_STARTS = ("content", "noise", "style")


class Sources(NamedTuple):
    """The pictures that a run reads.

    Attributes:
      content: the file of the picture whose subject is kept.
      styles: the files of those whose style is taken.
      inits: what the variants start from, sorted: files, "content", "noise" or "style".
    """

    content: Path
    styles: tuple[Path, ...]
    inits: tuple[str, ...]

    @property
    def starts(self) -> tuple[str, ...]:
        """The files to start from."""
        return tuple(init for init in self.inits if init not in _STARTS)

    @property
    def paths(self) -> tuple[Path, ...]:
        """All files."""
        return (self.content, *self.styles, *map(Path, self.starts))

    def hashes(self) -> dict[str, str]:
        """Of the files, as attributes of the run log."""
        return {
            "content_sha256": files.sha256(self.content),
            "style_sha256": ",".join(map(files.sha256, self.styles)),
            "start_sha256": ",".join(files.sha256(Path(start)) for start in self.starts),
        }


class Network(NamedTuple):
    """A network as a function of an image, what tells its weights from others, and its form."""

    feature_fn: FeatureFn
    name: str
    sha256: str
    form: vgg.Form


def load_pictures(
    sources: Sources,
    *,
    longest_sides: tuple[int | None, int | None],
    enlarge: bool = False,
    gray: bool = False,
    alpha: Alpha | None = None,
    say: Callable[[str], None],
) -> Pictures:
    """Reads the pictures of a run.

    Args:
      sources: their files.
      longest_sides: of content and styles in pixels; None: as in the file.
      enlarge: pictures that are smaller.
      gray: take them in gray.
      alpha: what becomes of the content's transparency; None: the run has no use for it.
      say: gets a line for whatever their owner may not expect.

    Raises:
      ValueError, OSError: one line that names the file.
    """
    size, style_size = longest_sides
    with images.notes(say):
        content, found = images.load_with_alpha(sources.content, size=size, enlarge=enlarge)
        styles = {
            str(path): images.load(path, size=style_size, enlarge=enlarge)
            for path in sources.styles
        }
        starts = {
            init: images.load_part(_path_of(init), *content.shape[:2]) for init in sources.starts
        }
    _say_transparency(sources.content, found is not None, alpha, say)
    pictures = Pictures(content, styles, starts, found if alpha == "keep" else None)
    if gray:
        return _in_gray(pictures)
    if all(map(images.is_gray, (content, *styles.values()))):
        say("note: content and style are gray, the result may not be: --gray keeps it gray")
    return pictures


def _path_of(init: str) -> Path:
    path = Path(init)
    if not path.exists():
        raise ValueError(
            f"the start must be content, noise, style or a picture, got {init!r}: "
            f"{files.absence(path)}"
        )
    return path


def _say_transparency(
    path: Path, is_transparent: bool, wanted: Alpha | None, say: Callable[[str], None]
) -> None:
    if wanted == "keep" and not is_transparent:
        say(f"note: {path}: it is opaque: --alpha keep changes nothing")
    elif is_transparent:
        then = {
            "white": "; --alpha keep makes the result transparent too",
            "keep": "; the result will be transparent too",
            None: "",
        }
        say(f"note: {path}: it is transparent: laid on white{then[wanted]}")


def _in_gray(pictures: Pictures) -> Pictures:
    styles, starts = (
        {name: images.to_gray(picture) for name, picture in named.items()}
        for named in (pictures.styles, pictures.starts)
    )
    return pictures._replace(content=images.to_gray(pictures.content), styles=styles, starts=starts)


def check_sizes(pictures: Mapping[str, np.ndarray], layers: Sequence[str], arch: Arch) -> None:
    """Refuses pictures that are too small for the deepest layer.

    Args:
      pictures: (h, w, 3) by the names of their files.
      layers: of the network that the run uses.
      arch: of the network.

    Raises:
      ValueError: one line that names the file.
    """
    deepest = max(layers, key=lambda layer: vgg.smallest_side([layer], arch))
    side = vgg.smallest_side([deepest], arch)
    for path, picture in pictures.items():
        height, width = picture.shape[:2]
        if min(height, width) < side:
            raise ValueError(
                f"{path} is too small: {width} x {height} pixels at this size, but "
                f"{deepest} needs at least {side} on each side; use a larger picture, --size, "
                "--enlarge, or no layer so deep"
            )


def load_network(
    weights: str | None,
    layers: Sequence[str],
    form: vgg.Form,
    *,
    arch: Arch = "vgg19",
    pooling: Pooling = "max",
    border: Border = "zeros",
    rematerialize: bool = False,
    say: Callable[[str], None],
) -> Network:
    """Finds, reads and names the network.

    Args:
      weights: a file, "random", or None for what `weights.resolve` finds.
      layers: whose features are wanted, by Keras's names.
      form: of its convolutions.
      arch, pooling, border, rematerialize: see `vgg.feature_fn`.
      say: gets the line that says where the weights are from.

    Raises:
      ValueError, OSError: one line that names the file.
    """
    source = network_weights.resolve(weights, arch=arch)
    params = network_weights.load_params(weights, arch=arch)
    say(f"weights: {source.description}")
    feature_fn = vgg.feature_fn(
        params,
        tuple(layers),
        arch=arch,
        pooling=pooling,
        border=border,
        **form._asdict(),
        rematerialize=rematerialize,
    )
    return Network(feature_fn, source.name, network_weights.params_sha256(params), form)


def layers_of(names: Sequence[str], arch: Arch) -> tuple[str, ...]:
    """Layers by Keras's names, each once."""
    return tuple(dict.fromkeys(vgg.canonical_name(name, arch) for name in names))


def check_same(record: RunRecord, present: Mapping[str, str]) -> None:
    """Refuses a log whose inputs are not those that its settings name any more.

    Args:
      record: the log.
      present: the hashes of the inputs as they are now, as attributes of a log.

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
