"""What a run reads: pictures and a network, known again by their hashes."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from nst_jax import image as images
from nst_jax import masks, vgg
from nst_jax import weights as network_weights
from nst_jax.choices import Alpha, Arch, Border, Colors, Pooling
from nst_jax.runlog import NAME, RunRecord
from nst_jax.runs.objectives import CONTENT, OPAQUE, STYLE, layers_in, region_of
from nst_jax.runs.problem import Pictures, Where
from nst_jax.system import files
from nst_jax.terms import FeatureFn, Term

_STARTS = ("content", "noise", "style", "blend")


class Sources(NamedTuple):
    """The pictures that a run reads.

    Attributes:
      contents: the files of the pictures whose subjects are kept.
      styles: the files of those whose style is taken.
      inits: what the variants start from, sorted: files, "content", "noise", "style" or "blend".
      references: the files of further pictures that terms read, by name.
      masks: the files of the masks of regions, `{"content" or "style": {region: file}}`.
      blend: see `Pictures`.
    """

    contents: tuple[Path, ...]
    styles: tuple[Path, ...]
    inits: tuple[str, ...]
    references: Mapping[str, Path] = MappingProxyType({})
    masks: Mapping[str, Mapping[str, Path]] = MappingProxyType({})
    blend: Mapping[str, float] = MappingProxyType({})

    @property
    def starts(self) -> tuple[str, ...]:
        """The files to start from."""
        return tuple(init for init in self.inits if init not in _STARTS)

    @property
    def paths(self) -> tuple[Path, ...]:
        """All files."""
        return (
            *self.contents,
            *self.styles,
            *map(Path, self.starts),
            *self.references.values(),
            *self.mask_files,
        )

    @property
    def mask_files(self) -> tuple[Path, ...]:
        """The files of masks."""
        return tuple(file_of(path)[0] for named in self.masks.values() for path in named.values())

    def hashes(self) -> dict[str, str]:
        """Of the files, as attributes of the run log."""
        return {
            "content_sha256": ",".join(map(files.sha256, self.contents)),
            "style_sha256": ",".join(map(files.sha256, self.styles)),
            "start_sha256": ",".join(files.sha256(Path(start)) for start in self.starts),
            "picture_sha256": ",".join(map(files.sha256, self.references.values())),
            "mask_sha256": ",".join(map(files.sha256, self.mask_files)),
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
    aspect: float | None = None,
    gray: bool = False,
    colors: Colors = "style",
    alpha: Alpha | None = None,
    say: Callable[[str], None],
) -> dict[str, Pictures]:
    """Reads the pictures of a run.

    Args:
      sources: their files.
      longest_sides: of content and styles in pixels; None: as in the file.
      enlarge: pictures that are smaller.
      aspect: height over width of the part of each content that is taken; None: all of it.
      gray: take them in gray.
      colors: whose the result has.
      alpha: what becomes of the content's transparency; None: the run has no use for it.
      say: gets a line for whatever their owner may not expect.

    Returns:
      By the path of each content what is read with it.

    Raises:
      ValueError, OSError: one line that names the file.
    """
    with images.notes(say):
        read = _read(sources, *longest_sides, enlarge, aspect)
    for name, alpha_of_file in read.alphas.items():
        say_transparency(name, alpha_of_file is not None, alpha, say)
    are_gray = map(images.is_gray, read.styles.values())
    if not gray and all(are_gray) and any(map(images.is_gray, read.contents.values())):
        say("note: content and style are gray, the result may not be: --gray keeps it gray")
    seen = _in_gray(read) if gray else read
    kept = read.alphas if alpha == "keep" else dict.fromkeys(read.alphas)
    return {
        name: Pictures(
            content,
            _in_colors_of(content, seen.styles) if colors == "matched" else seen.styles,
            seen.starts[content.shape[:2]],
            kept[name],
            seen.references,
            _where_opaque(read.regions, kept[name]),
            sources.blend,
            read.contents[name] if colors in ("content", "luminance") else None,
            seen.styles,
        )
        for name, content in seen.contents.items()
    }


def load_profiles(contents: Sequence[Path], say: Callable[[str], None]) -> dict[str, bytes]:
    """The color profiles of contents by their paths, of those that have one to keep.

    Args:
      contents: their files.
      say: gets a line for each without one.

    Raises:
      ValueError, OSError: one line that names the file.
    """
    found = {str(path): images.profile_of(path) for path in contents}
    for name in (name for name, profile in found.items() if profile is None):
        say(f"note: {name}: it has no color profile of RGB to keep: its result is in sRGB")
    return {name: profile for name, profile in found.items() if profile is not None}


class _Read(NamedTuple):
    """What the files of a run hold: pictures by name or path, starts for each (h, w)."""

    contents: Mapping[str, np.ndarray]
    alphas: Mapping[str, np.ndarray | None]
    styles: Mapping[str, np.ndarray]
    starts: Mapping[tuple[int, ...], Mapping[str, np.ndarray]]
    references: Mapping[str, np.ndarray]
    regions: Mapping[str, Mapping[str, np.ndarray]]


def _read(
    sources: Sources,
    size: int | None,
    style_size: int | None,
    enlarge: bool,
    aspect: float | None,
) -> _Read:
    found = {
        str(path): images.load_with_alpha(path, size=size, enlarge=enlarge, aspect=aspect)
        for path in sources.contents
    }
    contents = {name: content for name, (content, _) in found.items()}
    styles = {
        str(path): images.load(path, size=style_size, enlarge=enlarge) for path in sources.styles
    }
    starts = {
        shape: {init: images.load_part(_path_of(init), *shape) for init in sources.starts}
        for shape in dict.fromkeys(content.shape[:2] for content in contents.values())
    }
    references = {
        name: images.load(path, size=style_size, enlarge=enlarge)
        for name, path in sources.references.items()
    }
    alphas = {name: alpha for name, (_, alpha) in found.items()}
    regions = _load_regions(sources, contents, styles)
    return _Read(contents, alphas, styles, starts, references, regions)


def _load_regions(
    sources: Sources, contents: Mapping[str, np.ndarray], styles: Mapping[str, np.ndarray]
) -> dict[str, dict[str, np.ndarray]]:
    """As large as the pictures whose regions they are: of one content, and of styles alike."""
    first = next(iter(contents.values()))
    sizes = {CONTENT: first.shape[:2], STYLE: next(iter(styles.values()), first).shape[:2]}
    return {
        picture: {name: load_mask(path, *sizes[picture]) for name, path in named.items()}
        for picture, named in sources.masks.items()
    }


def _where_opaque(
    regions: Mapping[str, Mapping[str, np.ndarray]], alpha: np.ndarray | None
) -> Mapping[str, Mapping[str, np.ndarray]]:
    """Nothing of a region is where the content is transparent; what is opaque is one, too."""
    if alpha is None:
        return regions
    share = images.from_uint8(alpha)
    inside = {name: mask * share for name, mask in regions[CONTENT].items()}
    return {**regions, CONTENT: {**inside, OPAQUE: share}}


def _in_gray(read: _Read) -> _Read:
    def gray(pictures: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {name: images.to_gray(picture) for name, picture in pictures.items()}

    return read._replace(
        contents=gray(read.contents),
        styles=gray(read.styles),
        starts={shape: gray(starts) for shape, starts in read.starts.items()},
        references=gray(read.references),
    )


def _in_colors_of(content: np.ndarray, styles: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: images.match_colors(style, content) for name, style in styles.items()}


def _path_of(init: str) -> Path:
    path = Path(init)
    if not path.exists():
        raise ValueError(
            f"the start must be content, noise, style, blend or a picture, got {init!r}: "
            f"{files.absence(path)}"
        )
    return path


def say_transparency(
    path: str, is_transparent: bool, wanted: Alpha | None, say: Callable[[str], None]
) -> None:
    """Says what becomes of a picture's transparency, where its owner may not expect it.

    Args:
      path: of the picture.
      is_transparent: whether any of it is.
      wanted: what becomes of it; None: there is no choice.
      say: gets the line.
    """
    if wanted == "keep" and not is_transparent:
        say(f"note: {path}: it is opaque: --alpha keep changes nothing")
    elif is_transparent:
        then = {
            "white": "; --alpha keep makes the result transparent too",
            "keep": "; the result will be transparent too, and is painted where it is not",
            None: "",
        }
        say(f"note: {path}: it is transparent: laid on white{then[wanted]}")


def check_sizes(pictures: Mapping[str, np.ndarray], layers: Sequence[str], arch: Arch) -> None:
    """Refuses pictures that are too small for the deepest layer.

    Args:
      pictures: (h, w, 3) by the names of their files.
      layers: of the network that the run uses.
      arch: of the network.

    Raises:
      ValueError: one line that names the file.
    """
    if not layers:
        return
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


def named_paths(option: str, texts: Sequence[str]) -> dict[str, Path]:
    """`NAME=PATH` of an option as paths by name.

    Args:
      option: as it is written, for the error.
      texts: its values.

    Raises:
      ValueError: a value without a name, with one that a log cannot hold, or with one given twice.
    """
    found: dict[str, Path] = {}
    for text in texts:
        name, equals, path = text.partition("=")
        if not (equals and path and NAME.fullmatch(name)) or name in (CONTENT, STYLE, OPAQUE):
            raise ValueError(
                f"{option} {text}: expected NAME=PATH with a name of small letters, digits and _ "
                f"that is none of {CONTENT}, {STYLE}, {OPAQUE}"
            )
        if name in found:
            raise ValueError(f"{option}: the name {name} is given twice")
        found[name] = Path(path)
    return found


def blend_of(texts: Sequence[str], references: Collection[str]) -> dict[str, float]:
    """The weights of `--blend`, `NAME=WEIGHT` each.

    Args:
      texts: its values.
      references: the further pictures of the run.

    Raises:
      ValueError: a name of no picture, or a weight that is not positive.
    """
    found: dict[str, float] = {}
    for text in texts:
        name, _, number = text.partition("=")
        if name not in (STYLE, *references):
            raise ValueError(
                f"--blend {text}: expected NAME=WEIGHT of {', '.join((STYLE, *references))} "
                "(--picture gives further names)"
            )
        if name in found:
            raise ValueError(f"--blend: the name {name} is given twice")
        found[name] = _weight(text, number)
    return found


def _weight(text: str, number: str) -> float:
    try:
        weight = float(number)
    except ValueError:
        weight = math.nan
    # Programs compute in float32, where 1e39 is infinite and 1e-50 is zero.
    with np.errstate(over="ignore", under="ignore"):
        is_good = 0 < np.float32(weight) < math.inf
    if not is_good:
        raise ValueError(f"--blend {text}: expected a weight above 0, got {number!r}")
    return weight


def file_of(path: Path) -> tuple[Path, int | None]:
    """A mask's file, and its index in an indexed picture, `PATH#INDEX`; None: it is not indexed."""
    name, mark, index = str(path).rpartition("#")
    if mark and index.isascii() and index.isdigit() and not path.exists():
        return Path(name), int(index)
    return path, None


def load_mask(path: Path, height: int, width: int) -> Float[np.ndarray, "h w"]:
    """The mask of a region, 1 inside and 0 outside.

    Args:
      path: white inside, black outside; or of an indexed picture `PATH#INDEX`.
      height, width: of the picture whose region it is.

    Raises:
      ValueError, OSError: it cannot be read, or has nothing inside; one line.
    """
    file, index = file_of(path)
    mask = images.load_mask(file, height, width, index=index)
    if not mask.any():
        wanted = "is white" if index is None else f"has the index {index}"
        raise ValueError(f"{path}: the region is empty: no pixel {wanted}")
    return mask


def regions_of(
    named: Mapping[str, Mapping[str, np.ndarray]],
    made: Mapping[str, Term],
    *,
    arch: Arch,
    border: Border,
    say: Callable[[str], None],
) -> dict[str, dict[str, Where]]:
    """The weights of locations of each region of content and style; see `masks.region`.

    Args:
      named: the masks, `{"content" or "style": {region: (h, w)}}`.
      made: the terms of the run; a region is asked for at the layers of those that name it.
      arch: of the network.
      border: of the network.
      say: gets a line for each region that is small for a layer.

    Raises:
      ValueError: a region is too small for a layer; one line that names it.
    """
    found: dict[str, dict[str, Where]] = {}
    for picture, own in named.items():
        found[picture] = {}
        for name, mask in own.items():
            try:
                layers = layers_in(region_of(picture, name), made)
                region = masks.region(mask, layers, arch=arch, border=border)
            except ValueError as error:
                raise ValueError(f"the region {name} of the {picture}: {error}") from None
            if small := [layer for layer, share in region.erosion.items() if share < 0.5]:
                say(
                    f"note: the region {name} of the {picture} is small for {', '.join(small)}: "
                    "their statistics hold some of what lies beside it"
                )
            found[picture][name] = region.where
    return found
