"""Paint the bundled style picture: a windy bay at evening, in visible brush strokes.

The picture is an original, made by this script alone, and dedicated to the public domain
(CC0 1.0).  A scene is a stack of regions, each with a stream function: strokes follow its
level lines, and so do the bands of colour, which is what makes the currents readable.

    python tools/paint.py [--output PATH] [--seed N]
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

DEFAULT_OUTPUT = Path(__file__).resolve().parents[1] / "nst_jax" / "data" / "painting.png"
DEFAULT_SIZE = (512, 416)
DEFAULT_SEED = 11
SUPERSAMPLE = 2  # strokes are laid at this scale, then averaged down for soft edges
REFERENCE_HEIGHT = 416  # brush sizes below are pixels of a picture this high

PIGMENTS = {
    "night": (16, 24, 66),
    "ultramarine": (26, 52, 134),
    "cobalt": (38, 92, 178),
    "cerulean": (56, 142, 190),
    "teal": (18, 112, 122),
    "deep_teal": (10, 66, 82),
    "turquoise": (84, 182, 178),
    "mist": (176, 212, 196),
    "cream": (250, 236, 196),
    "lemon": (252, 216, 92),
    "gold": (240, 172, 40),
    "ochre": (204, 134, 40),
    "orange": (236, 110, 30),
    "vermilion": (206, 62, 32),
    "umber": (92, 44, 36),
    "olive": (112, 122, 44),
    "viridian": (26, 88, 66),
    "violet": (70, 52, 118),
}


@dataclass(frozen=True)
class Region:
    """One thing in the scene: where it is, how paint flows in it, and its colours."""

    mask: np.ndarray  # bool (H, W)
    stream: np.ndarray  # (H, W); strokes run along its level lines
    tone: np.ndarray  # (H, W) in [0, 1]; position along the ramp
    ramp: tuple[str, ...]  # pigment names from tone 0 to tone 1


@dataclass(frozen=True)
class Guide:
    """What the painter looks at: the flattened scene."""

    label: np.ndarray  # int (H, W): index of the front-most region
    flow: np.ndarray  # (H, W, 2): unit (dx, dy)
    tone: np.ndarray  # (H, W)
    ramps: tuple[np.ndarray, ...]  # per region, (k, 3) colours


@dataclass(frozen=True)
class Brush:
    """One pass over the canvas; lengths in pixels of the reference height."""

    width: float
    length: float
    spacing: float  # mean distance between strokes
    tone_jitter: float  # how far along the ramp a stroke may stray
    load: float  # amount of paint: relief height and how late the stroke runs dry


BRUSHES = (
    Brush(width=18, length=64, spacing=8.0, tone_jitter=0.04, load=0.6),
    Brush(width=10.5, length=44, spacing=6.2, tone_jitter=0.06, load=0.8),
    Brush(width=6.8, length=32, spacing=6.2, tone_jitter=0.09, load=1.0),
    Brush(width=4.4, length=22, spacing=8.2, tone_jitter=0.13, load=1.1),
)
STEP = 0.7  # pixels of the large canvas between points of a path: no gaps after rounding
OVERSHOOT = 6  # steps
CONTOUR = Brush(width=3.0, length=26, spacing=0, tone_jitter=0.0, load=0.8)
DETAIL = Brush(width=2.6, length=9, spacing=0, tone_jitter=0.0, load=0.9)
ACCENT = Brush(width=3.4, length=14, spacing=0, tone_jitter=0.0, load=1.2)


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int], cells: int) -> np.ndarray:
    """Return noise in about [-1, 1] whose bumps are 1/cells of the height."""
    height, width = shape
    grid = rng.uniform(-1, 1, (cells + 1, round(cells * width / height) + 1))
    image = Image.fromarray(grid.astype(np.float32))
    return np.asarray(image.resize((width, height), Image.Resampling.BICUBIC), np.float64)


def bump(x: np.ndarray, y: np.ndarray, cx: float, cy: float, radius: float) -> np.ndarray:
    """Return a Gaussian hill of height one."""
    return np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * radius**2))


# --- the scene -----------------------------------------------------------------------------
# Coordinates: y runs from 0 (top) to 1 (bottom), x from 0 to the aspect ratio (about 1.23).

HORIZON = 0.37
SUN = (0.42, 0.315)
BOAT = (0.615, 0.485, 0.13)
SEA_EDDIES = ((0.80, 0.62, 0.10, 0.13), (0.33, 0.69, 0.08, -0.10), (0.55, 0.53, 0.05, 0.045))
CROWNS = (  # x, y and half width of each cushion of needles, back to front
    (1.14, 0.13, 0.17),
    (0.93, 0.17, 0.11),
    (1.20, 0.27, 0.13),
    (1.02, 0.25, 0.12),
)


def sky(x: np.ndarray, y: np.ndarray, noise: np.ndarray) -> Region:
    """Return the sky: cloud streaks that fan out from the low sun and bend with the wind."""
    dx, dy = x - SUN[0], SUN[1] - y
    radius = np.hypot(dx, dy) + 1e-3
    # Measured from straight up, the angle jumps only below the sun, where the sea hides it.
    stream = np.arctan2(dx, dy) + 0.55 * np.log(radius) + 0.16 * noise
    bands = np.sin(8 * stream + 1.5 * noise)
    tone = 0.97 - 1.08 * radius**0.8 + 0.21 * bands
    ramp = (
        "night",
        "ultramarine",
        "cobalt",
        "cerulean",
        "turquoise",
        "mist",
        "cream",
        "lemon",
        "gold",
        "orange",
    )
    return Region(np.ones_like(x, bool), 0.3 * stream, tone, ramp)


def sun(x: np.ndarray, y: np.ndarray) -> Region:
    """Return the sun, painted round and round."""
    radius = np.hypot(x - SUN[0], y - SUN[1])
    ramp = ("vermilion", "gold", "lemon", "cream")
    return Region(radius < 0.055, radius, 1.1 - radius / 0.055, ramp)


def sea(x: np.ndarray, y: np.ndarray, noise: np.ndarray) -> Region:
    """Return the bay, where the turning tide makes whirlpools; they lie flat, so 2:1."""
    depth = np.maximum(y - HORIZON, 0)
    # The logarithm packs the waves closer toward the horizon, as perspective does.
    stream = 0.16 * np.log1p(depth / 0.07) + 0.022 * np.sin(7 * x - 9 * y) + 0.02 * noise
    for cx, cy, radius, strength in SEA_EDDIES:
        stream = stream + strength * bump(x, cy + 2.0 * (y - cy), cx, cy, radius)
    bands = np.sin(58 * stream + 0.8 * noise)
    path = np.exp(-(((x - SUN[0] - 0.25 * depth) / (0.05 + 0.22 * depth)) ** 2))
    tone = 0.36 + 0.27 * bands + 0.12 * noise + 0.42 * path * np.exp(-2.2 * depth)
    ramp = (
        "night",
        "ultramarine",
        "cobalt",
        "teal",
        "cerulean",
        "turquoise",
        "mist",
        "cream",
        "lemon",
        "orange",
    )
    return Region(y > HORIZON, stream, tone, ramp)


def land(
    x: np.ndarray,
    y: np.ndarray,
    top: np.ndarray,
    shore: float,
    bands: float,
    noise: np.ndarray,
    ramp: tuple[str, ...],
) -> Region:
    """Return land between its skyline and its shore, striped by fields along the slope."""
    depth = y - top
    stream = depth + 0.04 * noise
    tone = 0.5 + 0.38 * np.sin(bands * stream + 2.2 * noise) + 0.12 * noise
    return Region((depth > 0) & (y < shore + 0.012 * np.sin(23 * x)), stream, tone, ramp)


def boat(x: np.ndarray, y: np.ndarray, place: tuple[float, ...]) -> tuple[Region, Region]:
    """Return the sail and the hull of a small boat running before the wind."""
    cx, cy, size = place
    across, up = (x - cx) / size, (cy - y) / size
    height = np.clip(up, 0, 1)
    belly = 0.5 * (1 - height) + 0.22 * np.sin(np.pi * height)
    in_sail = (up > 0.06) & (up < 1) & (across > 0.12 * height - 0.14) & (across < belly)
    sail = Region(
        in_sail,
        size * (across + 0.45 * height**2),
        0.95 - 1.3 * across,
        ("vermilion", "orange", "lemon", "cream", "cream"),
    )
    keel = (across - 0.15) ** 2
    in_hull = (abs(up + 0.04) < 0.1 - 0.12 * keel) & (keel < 0.36)
    hull = Region(in_hull, size * (up - 0.3 * keel), np.full(x.shape, 0.4), ("night", "umber"))
    return sail, hull


def crown(x: np.ndarray, y: np.ndarray, noise: np.ndarray, place: tuple[float, ...]) -> Region:
    """Return one cushion of a pine's needles, painted in arcs and lit from the left."""
    cx, cy, size = place
    dx, dy = (x - cx) / size, (y - cy) / size
    outline = np.hypot(dx, dy * 1.7) + 0.3 * noise
    # Arcs about a point under the cushion look like boughs; full circles look like shells.
    arcs = np.hypot(dx - 0.2, dy - 0.9)
    tone = 0.40 + 0.30 * np.sin(11 * arcs + 2 * noise) - 0.25 * dx - 0.35 * dy
    ramp = ("night", "deep_teal", "viridian", "teal", "olive", "ochre", "gold")
    return Region(outline < 1, size * arcs, tone, ramp)


def trunk(x: np.ndarray, y: np.ndarray, noise: np.ndarray) -> Region:
    """Return the leaning trunk of the near pine; a bough leaves it to the left."""
    rise = np.clip(1.02 - y, 0, 1)
    centre = 1.13 - 0.36 * rise + 0.34 * rise**2 + 0.02 * np.sin(11 * rise)
    stem = (x - centre) / (0.018 + 0.05 * (1 - rise) ** 3)
    bough = (x - centre + 1.1 * np.maximum(rise - 0.55, 0) ** 1.3) / 0.012
    on_bough = (abs(bough) < 1) & (rise > 0.55) & (abs(stem) >= 1)
    across = np.where(on_bough, bough, stem)
    mask = (abs(across) < 1) & (y > 0.15)
    tone = 0.5 - 0.5 * across + 0.25 * noise
    return Region(mask, 0.05 * across, tone, ("night", "violet", "umber", "vermilion", "orange"))


def meadow(x: np.ndarray, y: np.ndarray, noise: np.ndarray) -> Region:
    """Return the near bank: tall dry grass blown to the right."""
    edge = 0.80 + 0.10 * np.sin(3.1 * x + 0.3) - 0.06 * x + 0.012 * np.sin(21 * x)
    lean = y - 0.75
    stream = x + 0.5 * lean + 1.6 * lean**2 + 0.07 * noise
    tone = 0.52 + 0.27 * np.sin(40 * stream) + 0.35 * noise + 1.1 * (edge + 0.04 - y)
    ramp = ("night", "violet", "umber", "vermilion", "orange", "ochre", "gold", "lemon")
    return Region(y > edge, stream, tone, ramp)


def cape(x: np.ndarray, y: np.ndarray, noise: np.ndarray) -> Region:
    """Return the far land, which ends in a headland."""
    top = HORIZON + 0.02 - 0.17 * np.clip(x - 0.58, 0, 1) ** 0.6 - 0.015 * np.sin(19 * x)
    colors = ("night", "ultramarine", "violet", "cobalt", "teal")
    return land(x, y, top, HORIZON + 0.03, 70, noise, colors)


def cliff(x: np.ndarray, y: np.ndarray, noise: np.ndarray) -> Region:
    """Return the near land, which falls to the right."""
    top = 0.30 + 0.9 * x**1.5 + 0.03 * np.sin(16 * x + 2)
    colors = ("umber", "deep_teal", "olive", "vermilion", "ochre", "orange", "gold")
    return land(x, y, top, 0.56, 46, noise, colors)


def scene(rng: np.random.Generator, shape: tuple[int, int]) -> dict[str, Region]:
    """Return the regions of the bay, from back to front."""
    y, x = np.mgrid[: shape[0], : shape[1]] / shape[0]
    coarse, middle, fine = (smooth_noise(rng, shape, cells) for cells in (4, 6, 9))
    sail, hull = boat(x, y, BOAT)
    regions = {
        "sky": sky(x, y, coarse),
        "sun": sun(x, y),
        "sea": sea(x, y, middle),
        "cape": cape(x, y, middle),
        "cliff": cliff(x, y, fine),
        "sail": sail,
        "hull": hull,
        "meadow": meadow(x, y, coarse),
        "trunk": trunk(x, y, fine),
    }
    crowns = {f"crown {i}": crown(x, y, fine, place) for i, place in enumerate(CROWNS)}
    return regions | crowns


def flatten(regions: list[Region]) -> Guide:
    """Return the guide seen by the painter: nearer regions hide farther ones."""
    shape = regions[0].mask.shape
    label, tone = np.zeros(shape, int), np.zeros(shape)
    flow = np.zeros((*shape, 2))
    for index, region in enumerate(regions):
        slope_y, slope_x = np.gradient(region.stream)
        # A level line is perpendicular to the gradient.
        along = np.stack([-slope_y, slope_x], axis=-1)
        along /= np.linalg.norm(along, axis=-1, keepdims=True) + 1e-12
        label[region.mask] = index
        tone[region.mask] = region.tone[region.mask]
        flow[region.mask] = along[region.mask]
    ramps = tuple(np.array([PIGMENTS[name] for name in r.ramp]) / 255 for r in regions)
    return Guide(label, flow, np.clip(tone, 0, 1), ramps)


# --- the brush -----------------------------------------------------------------------------


def ramp_colour(ramp: np.ndarray, tone: np.ndarray) -> np.ndarray:
    """Return the colours of a ramp at the given tones."""
    stops = np.linspace(0, 1, len(ramp))
    return np.stack([np.interp(tone, stops, ramp[:, c]) for c in range(3)], axis=-1)


def bristle_bank(rng: np.random.Generator, length: int = 1024, width: int = 256) -> np.ndarray:
    """Return streaks that run along axis 0: fine across the brush, slow along it."""
    streaks = rng.normal(size=(length, width))
    window = np.hanning(61)
    spectrum = np.fft.rfft(window / np.sqrt((window**2).sum()), length)[:, None]
    slow = np.fft.irfft(np.fft.rfft(streaks, axis=0) * spectrum, length, axis=0)
    # Part of every streak never changes, or long strokes would look like smoke.
    slow = 0.75 * slow + 0.65 * rng.normal(size=(1, width))
    return 0.6 * slow + 0.28 * (np.roll(slow, 1, 1) + np.roll(slow, -1, 1))


class Canvas:
    """Colour and paint thickness, both of which strokes overwrite as wet paint does."""

    def __init__(self, ground: np.ndarray, bristles: np.ndarray) -> None:
        self.colour = ground.copy()
        self.relief = np.zeros(ground.shape[:2])
        self.bristles = bristles

    def stroke(
        self,
        rng: np.random.Generator,
        path: np.ndarray,
        width: float,
        paint: np.ndarray,
        second: np.ndarray,
        load: float,
    ) -> None:
        """Drag a brush of the given width along a path of (x, y) points."""
        tangent = np.gradient(path, axis=0)
        tangent /= np.linalg.norm(tangent, axis=1, keepdims=True) + 1e-9
        normal = np.stack([-tangent[:, 1], tangent[:, 0]], axis=1)
        across = np.linspace(-1, 1, max(5, int(width / 0.6)))
        along = np.linspace(0, 1, len(path))
        streaks = self._streaks(rng, len(path), len(across), width)
        taper = np.minimum(1, np.sqrt(along / 0.16 + 0.08)) * (1 - 0.35 * along**3)
        offset = (across * taper[:, None])[..., None] * (width / 2) * normal[:, None]
        pixels = np.rint(path[:, None] + offset).astype(int)
        # Bristles run out of paint one by one, so the far end frays.
        wet = streaks > 12.8 * np.clip(along - 0.5 - 0.25 * load, 0, 1)[:, None] - 2.6
        wet &= (abs(across) < 0.82) | (streaks > -0.5)
        colour, relief = self._paint(streaks, along, across, paint, second, load)
        self._lay(pixels[wet], colour[wet], relief[wet])

    def _streaks(
        self, rng: np.random.Generator, length: int, count: int, width: float
    ) -> np.ndarray:
        """Return a patch of the bristle bank, about one bristle per 1.8 pixels of width."""
        rows = (rng.integers(len(self.bristles)) + np.arange(length)) % len(self.bristles)
        hairs = np.linspace(0, width / 1.8, count) + rng.integers(self.bristles.shape[1])
        return self.bristles[rows[:, None], hairs.astype(int)[None] % self.bristles.shape[1]]

    def _paint(
        self,
        streaks: np.ndarray,
        along: np.ndarray,
        across: np.ndarray,
        paint: np.ndarray,
        second: np.ndarray,
        load: float,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the colour and the thickness of the paint under each bristle."""
        # Two colours on one brush, unmixed: some bristles carry the second.
        blend = np.clip(0.25 + 0.45 * streaks, 0, 0.85)[..., None]
        colour = paint + (second - paint) * blend
        colour = colour * (1 + 0.14 * streaks)[..., None]
        lip = np.exp(-(((abs(across) - 0.8) / 0.16) ** 2))[None]
        start = np.exp(-(((along - 0.08) / 0.1) ** 2))[:, None]
        relief = load * (0.8 + 0.38 * streaks + 0.7 * lip + 0.5 * start)
        return colour, relief

    def _lay(self, pixels: np.ndarray, colour: np.ndarray, relief: np.ndarray) -> None:
        """Put samples on the canvas, dropping those outside."""
        height, width = self.relief.shape
        x, y = pixels[:, 0], pixels[:, 1]
        inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        x, y = x[inside], y[inside]
        self.colour[y, x] = colour[inside]
        # Old relief still shows a little through the new layer.
        self.relief[y, x] = 0.35 * self.relief[y, x] + relief[inside]


def trace(guide: Guide, seeds: np.ndarray, length: int) -> list[np.ndarray]:
    """Follow the flow from each seed (x, y); stop a path where it leaves its region."""
    height, width = guide.label.shape
    limit = np.array([width - 1, height - 1])

    def cell(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x, y = np.clip(np.rint(points), 0, limit).astype(int).T
        return y, x

    home = guide.label[cell(seeds)]
    points, alive, heading = seeds.copy(), np.ones(len(seeds), bool), guide.flow[cell(seeds)]
    paths, counts = [points.copy()], np.ones(len(seeds), int)
    for _ in range(length - 1):
        flow = guide.flow[cell(points)]
        # Some inertia keeps strokes smooth where the flow has a seam.
        heading = 0.8 * heading + 0.2 * flow
        heading /= np.linalg.norm(heading, axis=1, keepdims=True) + 1e-9
        points = points + STEP * heading
        alive &= guide.label[cell(points)] == home
        counts += alive
        paths.append(points.copy())
    stacked = np.stack(paths, axis=1)
    # A brush overshoots an edge a little; cut exactly there, edges look stamped.
    return [path[: count + OVERSHOOT] for path, count in zip(stacked, counts, strict=True)]


def grid_seeds(rng: np.random.Generator, shape: tuple[int, int], spacing: float) -> np.ndarray:
    """Return jittered grid points in random order, a little past the borders."""
    rows, columns = (np.arange(-spacing, extent + spacing, spacing) for extent in shape)
    seeds = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2)
    seeds += rng.uniform(-0.6, 0.6, seeds.shape) * spacing
    return rng.permutation(seeds)


def shade(rng: np.random.Generator, colour: np.ndarray, amount: float) -> np.ndarray:
    """Return the colour a little lighter or darker and a little off in hue."""
    return colour * (1 + amount * rng.normal()) + 0.35 * amount * rng.normal(size=3)


def lay_pass(
    rng: np.random.Generator, canvas: Canvas, guide: Guide, brush: Brush, unit: float
) -> None:
    """Cover the whole canvas once with one brush."""
    seeds = grid_seeds(rng, guide.label.shape, brush.spacing * unit)
    for path in trace(guide, seeds, int(brush.length * unit / STEP)):
        path = path[: max(6, int(len(path) * rng.uniform(0.45, 1)))]
        x, y = np.clip(path[len(path) // 3], 0, np.array(guide.label.shape[::-1]) - 1).astype(int)
        ramp = guide.ramps[guide.label[y, x]]
        tones = guide.tone[y, x] + brush.tone_jitter * rng.normal(size=2)
        paint, second = ramp_colour(ramp, tones)
        width = brush.width * unit * rng.uniform(0.75, 1.2)
        canvas.stroke(rng, path, width, shade(rng, paint, 0.06), second, brush.load)


def lay_marks(
    rng: np.random.Generator,
    canvas: Canvas,
    guide: Guide,
    brush: Brush,
    unit: float,
    where: np.ndarray,
    count: int,
    names: tuple[str, ...],
) -> None:
    """Lay `count` strokes of the named pigments, starting somewhere in a mask."""
    rows, columns = np.nonzero(where)
    chosen = rng.integers(len(rows), size=count)
    seeds = np.stack([columns[chosen], rows[chosen]], axis=1).astype(float)
    for path in trace(guide, seeds, int(brush.length * unit / STEP)):
        if len(path) < 0.6 * brush.length * unit / STEP:
            continue  # a stub of a contour would look like a speck
        paint = np.array(PIGMENTS[names[rng.integers(len(names))]]) / 255
        path = path[: int(len(path) * rng.uniform(0.6, 1))]
        width = brush.width * unit * rng.uniform(0.6, 1.2)
        canvas.stroke(rng, path, width, shade(rng, paint, 0.07), paint * 0.85, brush.load)


def borders(label: np.ndarray) -> np.ndarray:
    """Return the pixels just below or right of a change of region."""
    edge = np.zeros(label.shape, bool)
    edge[1:] |= label[1:] > label[:-1]
    edge[:, 1:] |= label[:, 1:] != label[:, :-1]
    return edge


def light(canvas: Canvas) -> np.ndarray:
    """Return the colours with the relief lit from the upper left."""
    relief = canvas.relief
    # Unsmoothed, single-pixel bristles would glitter.
    for axis in (0, 1):
        relief = 0.5 * relief + 0.25 * (np.roll(relief, 1, axis) + np.roll(relief, -1, axis))
    slope_y, slope_x = np.gradient(relief)
    lit = np.clip(0.65 * slope_x + 0.75 * slope_y, -0.8, 0.8)
    gleam = np.clip(lit - 0.22, 0, 1)[..., None]
    return np.clip(canvas.colour * (1 + 0.6 * lit)[..., None] + 0.4 * gleam, 0, 1)


def add_accents(
    rng: np.random.Generator, canvas: Canvas, guide: Guide, unit: float, names: list[str]
) -> None:
    """Draw the contours and the loose marks that a painter adds last."""
    label = guide.label

    def marks(brush: Brush, where: np.ndarray, count: int, *pigments: str) -> None:
        lay_marks(rng, canvas, guide, brush, unit, where, count, pigments)

    hard = (label > names.index("sea")) & (label != names.index("sail"))
    marks(CONTOUR, borders(label) & hard, 220, "night", "deep_teal", "ultramarine")
    marks(DETAIL, label == names.index("sail"), 40, "cream", "cream", "lemon")
    marks(DETAIL, label == names.index("hull"), 30, "night", "night", "umber", "vermilion")
    marks(ACCENT, label == names.index("sea"), 60, "cream", "mist", "gold", "orange")
    marks(ACCENT, label == names.index("meadow"), 60, "cobalt", "lemon", "turquoise", "cream")
    marks(ACCENT, label == names.index("sky"), 36, "orange", "cream", "turquoise")
    marks(ACCENT, label > names.index("trunk"), 40, "orange", "gold", "cobalt")


def paint(seed: int = DEFAULT_SEED, size: tuple[int, int] = DEFAULT_SIZE) -> Image.Image:
    """Return the painting as an RGB image of the given (width, height)."""
    rng = np.random.default_rng(seed)
    width, height = size
    shape = (height * SUPERSAMPLE, width * SUPERSAMPLE)
    unit = shape[0] / REFERENCE_HEIGHT
    regions = scene(rng, shape)
    guide = flatten(list(regions.values()))
    # A warm dark ground shows in the gaps and ties the blues and oranges together.
    ground = np.broadcast_to(np.array(PIGMENTS["umber"]) / 255, (*shape, 3))
    canvas = Canvas(ground, bristle_bank(rng))
    for brush in BRUSHES:
        lay_pass(rng, canvas, guide, brush, unit)
    add_accents(rng, canvas, guide, unit, list(regions))
    image = Image.fromarray(np.rint(light(canvas) * 255).astype(np.uint8))
    return image.resize(size, Image.Resampling.BOX)


def main() -> None:
    """Paint and save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=DEFAULT_OUTPUT)
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED)
    options = parser.parse_args()
    # A palette of 256 colours keeps the lossless file small; dithering would add noise.
    picture = paint(options.seed).quantize(256, dither=Image.Dither.NONE)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    picture.save(options.output, optimize=True)


if __name__ == "__main__":
    main()
