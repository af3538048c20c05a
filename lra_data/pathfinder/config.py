"""The parameters of Pathfinder and its presets. Light: nothing numerical is imported here."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from decimal import Decimal
from math import ceil, floor
from typing import Any

from lra_data.checks import plain_int
from lra_data.errors import UsageError, unknown_name
from lra_data.family import Family, Selector
from lra_data.task import NOT_KEYED, Preset

LARGEST_RESOLUTION = 2048
LARGEST_DIMENSION = 64  # of a paddle, a margin or a marker, in pixels
LARGEST_COUNT = 1024  # of paddles in a contour, distractors, retrials
LONGEST_LIST = 16
BRIGHTEST = 8  # in millionths, times 255, it still fits 31 bits

# The base number of paddles in PF0 snakes2.py (from_wrapper), from which that of single paddles follows.
BASE_PADDLES = 150


def _field(default: Any, meaning: str, **metadata: Any) -> Any:
    return field(default=default, metadata={"help": meaning, **metadata})


@dataclass(frozen=True, kw_only=True)
class Config:
    """Every parameter of the original generator (PF0 snakes2_wrapper.py) that has an effect on its pictures.

    The defaults are those of LRA's Pathfinder (32 pixels, hard). Lengths are in pixels. Left out: `segmentation_task`,
    which makes another task, and `max_target_contour_retrial`, which the original never reads.
    """

    resolution: int = _field(32, "height and width of the picture", selector="res")
    padding: int = _field(1, "border in which no paddle may come to lie")
    antialias_scale: int = _field(2, "paddles and markers are drawn so many times larger, then reduced")
    seed_distance: int = _field(7, "distance between the first ends of the two contours")
    marker_radius: float = _field(1.5, "radius of the two discs")
    contour_length: int = _field(14, "paddles of a contour")
    distractor_length: int = _field(4, "paddles of a distractor")
    num_distractor_snakes: int = _field(5, "distractors tried; those for which no room is found are left out")
    continuity: float = _field(1.0, "a paddle turns by at most 90 degrees divided by this")
    paddle_length: int = _field(2, "length of a paddle")
    paddle_thickness: float = _field(0.5, "thickness of a paddle; times antialias-scale it must be an integer")
    paddle_margin_list: tuple[int, ...] = _field((1,), "room around a paddle; one is drawn for each picture")
    snake_contrast_list: tuple[float, ...] = _field((2.0,), "brightness of a contour, the marker having 1")
    paddle_contrast_list: tuple[float, ...] = _field((0.75,), "brightness of a contour's paddle, times the contour's")
    use_single_paddles: bool = _field(False, "whether single paddles are strewn over the rest")
    max_paddle_retrial: int = _field(2, "further trials for a paddle")
    max_distractor_contour_retrial: int = _field(4, "further tries for a distractor")
    all_angles: bool = _field(
        False, "clean variant: first paddles at every angle, not only those OpenCV's border lets by"
    )
    separate_contours: bool = _field(False, "clean variant: every paddle keeps off all others, the last ones too")
    same_contrast: bool = _field(False, "clean variant: distractors are as bright as the contours")
    distance_step: int = _field(
        0, "clean variant: both labels are equally likely at any distance of the markers, in steps of this; 0 for off"
    )
    geometry: bool = _field(
        True, "whether rows hold tips and paddles; without them they can be asked back for any index", **NOT_KEYED
    )

    def __post_init__(self) -> None:
        for parameter in fields(self):
            value = getattr(self, parameter.name)
            if isinstance(parameter.default, tuple):
                number = type(parameter.default[0])
                if not isinstance(value, tuple | list) or not 1 <= len(value) <= LONGEST_LIST:
                    raise _bad(parameter.name, f"a tuple of 1 to {LONGEST_LIST} numbers", value)
                value = tuple(_number(parameter.name, number, item) for item in value)
            else:
                value = _number(parameter.name, type(parameter.default), value)
            object.__setattr__(self, parameter.name, value)
        self._check_ranges()
        self._check_room()

    def _check_ranges(self) -> None:
        _within("resolution", self.resolution, 8, LARGEST_RESOLUTION)
        # A border of 0 pixels blocks the whole picture in the original: mask[-0:] is all of it.
        _within("padding", self.padding, 1, self.resolution // 2 - 1)
        _within("antialias_scale", self.antialias_scale, 1, 8)
        _within("seed_distance", self.seed_distance, 1, self.resolution)
        _within("marker_radius", self.marker_radius, 0.5, LARGEST_DIMENSION)
        _within("contour_length", self.contour_length, 2, LARGEST_COUNT)
        _within("distractor_length", self.distractor_length, 1, LARGEST_COUNT)
        _within("num_distractor_snakes", self.num_distractor_snakes, 0, LARGEST_COUNT)
        _within("continuity", self.continuity, 0.1, 10)
        _within("paddle_length", self.paddle_length, 1, LARGEST_DIMENSION)
        _within("paddle_thickness", self.paddle_thickness, 0.125, LARGEST_DIMENSION)
        for margin in self.paddle_margin_list:
            _within("paddle_margin_list", margin, 1, LARGEST_DIMENSION)
        if len(set(self.paddle_margin_list)) != len(self.paddle_margin_list):
            raise _bad("paddle_margin_list", "distinct margins", self.paddle_margin_list)
        for name in ("snake_contrast_list", "paddle_contrast_list"):
            for contrast in getattr(self, name):
                _within(name, contrast, 0.001, BRIGHTEST)
                if Decimal(str(contrast)) * 1000 % 1:
                    raise _bad(name, "contrasts with at most three decimals", contrast)
        brightest = max(self.snake_contrast_list) * max(self.paddle_contrast_list)
        if brightest > BRIGHTEST:
            raise _bad("contrasts", f"products of contrasts up to {BRIGHTEST}", f"{brightest:g}")
        _within("max_paddle_retrial", self.max_paddle_retrial, 0, LARGEST_COUNT)
        _within("max_distractor_contour_retrial", self.max_distractor_contour_retrial, 0, LARGEST_COUNT)
        _within("distance_step", self.distance_step, 0, self.resolution)
        drawn = self.paddle_thickness * self.antialias_scale
        if drawn != int(drawn):
            raise _bad(
                "paddle_thickness x antialias_scale",
                "an integer of pixels, for that is how thick the line is drawn",
                f"{self.paddle_thickness:g} x {self.antialias_scale} = {drawn:g}",
            )

    def _check_room(self) -> None:
        """Refuse a canvas on which the first paddle can never lie: it begins 2 x seed_distance off every edge."""
        centre = self.resolution - 2 * max(2 * self.seed_distance, self.padding)
        if centre < 1:
            raise UsageError(
                f"pathfinder: expected a canvas wider than 4 x seed_distance = {4 * self.seed_distance} pixels and "
                f"than 2 x padding = {2 * self.padding}, got {self.resolution}: the contours begin 2 x seed_distance "
                "off the edges; lower seed_distance or raise resolution"
            )

    def num_single_paddles(self, margin: int) -> int:
        """How many single paddles are tried in a picture of this margin (PF0 snakes2.py, from_wrapper)."""
        if not self.use_single_paddles:
            return 0
        room = int(BASE_PADDLES * (1.0 / ((7.5 + 13 * margin + 4 * margin * margin) / 123.5)))
        return max(0, room - 2 * self.contour_length - self.num_distractor_snakes * self.distractor_length)


def _number(name: str, kind: type, value: Any) -> Any:
    number = plain_int(value) if kind in (int, float) else None
    if number is not None:
        return kind(number)
    if kind is float and isinstance(value, float):
        return float(value)
    if kind is int or not isinstance(value, kind):
        wanted = {int: "an integer", float: "a number", bool: "true or false"}[kind]
        raise _bad(name, wanted, repr(value))
    return value


def _within(name: str, value: float, lowest: float, highest: float) -> None:
    if not lowest <= value <= highest:
        raise _bad(name, f"{lowest:g} to {highest:g}", f"{value:g}")


def _bad(name: str, wanted: str, got: Any) -> UsageError:
    return UsageError(f"pathfinder: {name} must be {wanted}, got {got}")


# Paddles of a contour (PF0 snakes2_wrapper.py:81-92).
DIFFICULTIES = {"easy": 6, "intermediate": 9, "hard": 14}

# Steps of marker distance in clean pictures, in pixels, by resolution and difficulty. The distance gives more away the
# shorter the contours are, and each halving doubles the attempts (docs/pathfinder.md has the figures).
CLEAN_STEPS = {
    32: {"easy": 1, "intermediate": 2, "hard": 4},
    64: {"easy": 1, "intermediate": 4, "hard": 8},
    128: {"easy": 1, "intermediate": 4, "hard": 16},
    256: {"easy": 2, "intermediate": 4, "hard": 8},
}

# What LRA's builders say was used (LRA data/pathfinder.py:26-44, 114-131, 201-218, 288-303), and the number that is
# divided by the distractors' length to give theirs.
_STANDARD: dict[int, tuple[int, dict[str, Any]]] = {
    32: (20, {}),
    64: (
        22,
        {
            "resolution": 64, "seed_distance": 12, "marker_radius": 2.5, "continuity": 1.8, "paddle_length": 5,
            "paddle_thickness": 1.0, "snake_contrast_list": (0.8,), "paddle_contrast_list": (1.0,),
        },
    ),
    128: (
        35,
        {
            "resolution": 128, "seed_distance": 20, "marker_radius": 3.0, "continuity": 1.8, "paddle_length": 5,
            "paddle_thickness": 1.5, "paddle_margin_list": (2, 3), "snake_contrast_list": (0.9,),
            "paddle_contrast_list": (1.0,),
        },
    ),
    256: (
        30,
        {
            "resolution": 256, "padding": 22, "seed_distance": 27, "marker_radius": 5.0, "continuity": 1.8,
            "paddle_length": 5, "paddle_thickness": 2.0, "paddle_margin_list": (3,), "snake_contrast_list": (1.0,),
            "paddle_contrast_list": (1.0,),
        },
    ),
}  # fmt: skip


def standard_config(resolution: int = 32, difficulty: str = "hard", *, clean: bool = False) -> Config:
    """The configuration for a resolution and a difficulty; `clean` is described in docs/pathfinder_draws.md.

    32, 64, 128 and 256 are those of LRA. Another resolution takes the next smaller one of them (32 below 64), and
    multiplies its lengths by the ratio of the resolutions: padding, seed distance, paddle length and margins are
    rounded half up to whole pixels of at least 1, thickness and marker radius to whole pixels of the enlarged drawing.
    """
    if difficulty not in DIFFICULTIES:
        raise unknown_name("pathfinder difficulty", difficulty, DIFFICULTIES)
    base = min(_STANDARD, key=lambda known: max(known / resolution, resolution / known))
    clutter, parameters = _STANDARD[base]
    contour_length = DIFFICULTIES[difficulty]
    config = Config(
        **parameters,
        contour_length=contour_length,
        distractor_length=contour_length // 3,
        num_distractor_snakes=clutter // (contour_length // 3),
    )
    if clean:
        step = CLEAN_STEPS[base][difficulty]
        config = replace(config, all_angles=True, separate_contours=True, same_contrast=True, distance_step=step)
    return config if resolution == base else _scaled(config, resolution)


def _scaled(config: Config, resolution: int) -> Config:
    """`config` with its lengths in proportion to another resolution; see `standard_config`."""

    def scale(length: float, fineness: int = 1) -> float:
        return max(1, floor(length * resolution * fineness / config.resolution + 0.5)) / fineness

    return replace(
        config,
        resolution=resolution,
        padding=int(scale(config.padding)),
        seed_distance=int(scale(config.seed_distance)),
        paddle_length=int(scale(config.paddle_length)),
        paddle_margin_list=tuple(dict.fromkeys(int(scale(margin)) for margin in config.paddle_margin_list)),
        paddle_thickness=scale(config.paddle_thickness, config.antialias_scale),
        marker_radius=scale(config.marker_radius, config.antialias_scale),
        distance_step=ceil(config.distance_step * resolution / config.resolution),
    )


SIZES = {"train": 160_000, "validation": 20_000, "test": 20_000}


def _preset(resolution: int, difficulty: str, clean: bool) -> Preset:
    config = standard_config(resolution, difficulty, clean=clean)
    summary = f"{resolution} x {resolution}, contours of {config.contour_length} paddles"
    if clean:
        summary += ", without the original's leaks"
    return Preset(config=config, sizes=SIZES, summary=summary)


def _presets() -> dict[str, Preset]:
    names = [
        (resolution, difficulty, clean)
        for clean in (False, True)
        for resolution in _STANDARD
        for difficulty in reversed(DIFFICULTIES)
    ]
    return {
        f"{resolution}-{difficulty}{'-clean' if clean else ''}": _preset(resolution, difficulty, clean)
        for resolution, difficulty, clean in names
    }


PRESETS = _presets()

# Options of `lra-data build pathfinder` that choose a preset or scale one. The field that names one of them in its
# metadata has no flag of its own: other lengths would not follow it.
SELECTORS = {
    "res": Selector(
        kind=int, default=32, help="resolution, 32, 64, 128, 256 or another one, for which the nearest is scaled"
    ),
    "difficulty": Selector(kind=str, default="hard", help="easy, intermediate or hard"),
    "clean": Selector(kind=bool, default=False, help="the variant without the original's leaks"),
}


def select(given: Mapping[str, Any]) -> Config:
    """The configuration that SELECTORS name; those not given have their default."""
    resolution, difficulty, clean = (
        selector.default if given.get(name) is None else given[name] for name, selector in SELECTORS.items()
    )
    return standard_config(resolution, difficulty, clean=clean)


FAMILY = Family(
    config=Config,
    presets=PRESETS,
    # Path-X is pathfinder128_hard (M. Dehghani, LRA issue 11).
    aliases={"path-x": "128-hard"},
    selectors=SELECTORS,
    select=select,
    reads_release=True,
)
