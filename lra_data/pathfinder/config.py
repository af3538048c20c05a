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
LARGEST_COUNT = 1024  # of paddles in a contour, of distractors, of retrials
LONGEST_LIST = 16
BRIGHTEST = 8  # in millionths and times 255, it still fits into 31 bits

# The base number of paddles in PF0 snakes2.py (from_wrapper); the number of single paddles follows from it.
BASE_PADDLES = 150


def _field(default: Any, meaning: str, **metadata: Any) -> Any:
    return field(default=default, metadata={"help": meaning, **metadata})


@dataclass(frozen=True, kw_only=True)
class Config:
    """Every parameter of the original generator (PF0 snakes2_wrapper.py) that has an effect on its pictures.

    The defaults are those of LRA's Pathfinder (32 pixels, hard). Lengths are in pixels. Two parameters are left out:
    `segmentation_task` makes another task, and the original never reads `max_target_contour_retrial`.
    """

    resolution: int = _field(32, "Height and width of the picture, in pixels", selector="res")
    padding: int = _field(1, "Width of the border that no paddle may touch, in pixels")
    antialias_scale: int = _field(2, "Factor by which paddles and markers are drawn larger, then reduced")
    seed_distance: int = _field(7, "Distance between the first ends of the two contours, in pixels")
    marker_radius: float = _field(1.5, "Radius of the two markers, in pixels")
    contour_length: int = _field(14, "Number of paddles in a contour")
    distractor_length: int = _field(4, "Number of paddles in a distractor")
    num_distractor_snakes: int = _field(5, "Number of distractors tried; a distractor without room is left out")
    continuity: float = _field(1.0, "Divisor of 90 degrees, which gives the largest turn from paddle to paddle")
    paddle_length: int = _field(2, "Length of a paddle, in pixels")
    paddle_thickness: float = _field(0.5, "Thickness of a paddle, in pixels; times antialias-scale it is an integer")
    paddle_margin_list: tuple[int, ...] = _field((1,), "Margins around a paddle, in pixels; one is drawn per picture")
    snake_contrast_list: tuple[float, ...] = _field((2.0,), "Brightness of a contour, relative to the marker")
    paddle_contrast_list: tuple[float, ...] = _field((0.75,), "Brightness of a paddle, relative to its contour")
    use_single_paddles: bool = _field(False, "Single paddles in the space that is left")
    max_paddle_retrial: int = _field(2, "Number of further trials for a paddle")
    max_distractor_contour_retrial: int = _field(4, "Number of further trials for a distractor")
    all_angles: bool = _field(
        False, "Clean variant: first paddles at every angle, not only at those that OpenCV's border allows"
    )
    separate_contours: bool = _field(False, "Clean variant: distance between all paddles, also the last ones")
    same_contrast: bool = _field(False, "Clean variant: distractors as bright as the contours")
    distance_step: int = _field(
        0, "Clean variant: step of the marker distances, in pixels, at which both labels are equally likely; 0 for off"
    )
    geometry: bool = _field(
        True, "Columns with tips and paddles; without them, the generator gives both for any index", **NOT_KEYED
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
        # A border of 0 pixels blocks the whole picture in the original, since mask[-0:] is the whole mask.
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
                "an integer, the thickness of the drawn line in pixels",
                f"{self.paddle_thickness:g} x {self.antialias_scale} = {drawn:g}",
            )

    def _check_room(self) -> None:
        """Reject a canvas without room for the first paddle, which begins 2 x seed_distance from every edge."""
        centre = self.resolution - 2 * max(2 * self.seed_distance, self.padding)
        if centre < 1:
            raise UsageError(
                f"pathfinder: expected a canvas wider than 4 x seed_distance = {4 * self.seed_distance} pixels and "
                f"than 2 x padding = {2 * self.padding}, got {self.resolution}: the contours begin 2 x seed_distance "
                "from the edges; lower seed_distance or raise resolution"
            )

    def num_single_paddles(self, margin: int) -> int:
        """The number of single paddles that are tried in a picture of this margin (PF0 snakes2.py, from_wrapper)."""
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

# The four switches of clean pictures.
_CLEAN: dict[str, Any] = {
    "all_angles": True, "separate_contours": True, "same_contrast": True, "distance_step": 1,
}  # fmt: skip

# Steps of marker distance in clean pictures, in pixels, by resolution and difficulty. The shorter the contours, the
# more the distance reveals about the label. Halving a step doubles the attempts (docs/pathfinder.md has the figures).
CLEAN_STEPS = {
    32: {"easy": 1, "intermediate": 2, "hard": 4},
    64: {"easy": 1, "intermediate": 4, "hard": 8},
    128: {"easy": 1, "intermediate": 4, "hard": 16},
    256: {"easy": 2, "intermediate": 4, "hard": 8},
}

# The parameters that LRA's builders name (LRA data/pathfinder.py:26-44, 114-131, 201-218, 288-303). The first number,
# divided by the length of a distractor, is the number of distractors.
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

    32, 64, 128 and 256 are those of LRA. Another resolution takes the nearest of them by ratio, and multiplies its
    lengths by the ratio of the resolutions: padding, seed distance, paddle length and margins are rounded half up to
    whole pixels of at least 1, thickness and marker radius to whole pixels of the enlarged drawing.
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
        config = replace(config, **{**_CLEAN, "distance_step": step})
    return config if resolution == base else _scaled(config, resolution)


def _scaled(config: Config, resolution: int) -> Config:
    """`config` with its lengths scaled to another resolution; see `standard_config`."""

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


# Small clean pictures, for trials on a CPU and as a ladder to 32-easy. Paddles of five pixels show their
# direction, and contours that may bend by 90 degrees and more from paddle to paddle spread the offsets between two
# markers, so that not even a table of them tells the label (docs/pathfinder.md).
_SMALL: dict[str, Any] = {
    "paddle_length": 5, "paddle_thickness": 1.0, "snake_contrast_list": (0.4,), "paddle_contrast_list": (1.0,),
    "distractor_length": 1, **_CLEAN,
}  # fmt: skip
MINI = {
    "24-mini": Config(
        resolution=24, seed_distance=3, contour_length=3, continuity=0.8, num_distractor_snakes=0, **_SMALL
    ),
    "32-mini": Config(resolution=32, seed_distance=4, contour_length=4, num_distractor_snakes=2, **_SMALL),
}

SIZES = {"train": 160_000, "validation": 20_000, "test": 20_000}


# The names of `lra-data list` for the presets of all resolutions and difficulties.
_GROUP, _CLEAN_GROUP = "RES-LEVEL", "RES-LEVEL-clean"


def _preset(resolution: int, difficulty: str, clean: bool) -> Preset:
    config = standard_config(resolution, difficulty, clean=clean)
    summary = f"{resolution} x {resolution}, contours of {config.contour_length} paddles"
    if clean:
        summary += ", without the original's leaks"
    return Preset(config=config, sizes=SIZES, summary=summary, group=_CLEAN_GROUP if clean else _GROUP)


def _presets() -> dict[str, Preset]:
    names = [
        (resolution, difficulty, clean)
        for clean in (False, True)
        for resolution in _STANDARD
        for difficulty in reversed(DIFFICULTIES)
    ]
    standard = {
        f"{resolution}-{difficulty}{'-clean' if clean else ''}": _preset(resolution, difficulty, clean)
        for resolution, difficulty, clean in names
    }
    return standard | {
        name: Preset(config=config, sizes=SIZES, summary=_summary(config)) for name, config in MINI.items()
    }


def _summary(config: Config) -> str:
    distractors = config.num_distractor_snakes or "no"
    return (
        f"{config.resolution} x {config.resolution}, contours of {config.contour_length} paddles, {distractors} "
        "distractors, without the original's leaks"
    )


PRESETS = _presets()

# Options of `lra-data build pathfinder` that choose or scale a preset. A field whose metadata names such an option has
# no flag of its own, because the other lengths would not be scaled with it.
SELECTORS = {
    "res": Selector(
        kind=int, default=32, help="Resolution in pixels: 32, 64, 128 or 256; any other is scaled from the nearest"
    ),
    "difficulty": Selector(kind=str, default="hard", help="Difficulty: easy, intermediate or hard"),
    "clean": Selector(kind=bool, default=False, help="Variant without the original's leaks"),
}


def select(given: Mapping[str, Any]) -> Config:
    """The configuration for values of SELECTORS; a selector that is not given has its default."""
    resolution, difficulty, clean = (
        selector.default if given.get(name) is None else given[name] for name, selector in SELECTORS.items()
    )
    return standard_config(resolution, difficulty, clean=clean)


FAMILY = Family(
    config=Config,
    presets=PRESETS,
    # Path-X is pathfinder128_hard (M. Dehghani, LRA issue 11).
    aliases={"path-x": "128-hard", "pathfinder/mini": "24-mini"},
    groups={
        _GROUP: f"RES {' '.join(map(str, _STANDARD))}, LEVEL {' '.join(reversed(DIFFICULTIES))}",
        _CLEAN_GROUP: "the same, without the original's leaks",
    },
    selectors=SELECTORS,
    select=select,
    reads_release=True,
)
