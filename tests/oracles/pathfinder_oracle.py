"""Pathfinder pictures drawn exactly as docs/pathfinder_draws.md says, one at a time, on whole canvases.

It is for checking the fast kernel picture by picture, and was written from that page only: it shares no code with the
kernel or its tables, but draws every paddle with Pillow and OpenCV, lays it on an array of the whole image, and dilates
whole masks. It deliberately does not write files or try to be fast; only pure functions (patches, rings, weights, start
pixels) are remembered. Where the page gives no answer it raises instead of guessing.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from typing import Any, Final, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from .philox_oracle import philox4x64

Bytes: TypeAlias = npt.NDArray[np.uint8]
Pixel: TypeAlias = tuple[int, int]

VERSION: Final = 1
CONFIG_FIELDS: Final = (
    "antialias_scale",
    "continuity",
    "contour_length",
    "distance_step",
    "distractor_length",
    "marker_radius",
    "max_distractor_contour_retrial",
    "max_paddle_retrial",
    "num_distractor_snakes",
    "paddle_contrast_list",
    "paddle_length",
    "paddle_margin_list",
    "paddle_thickness",
    "padding",
    "resolution",
    "same_contrast",
    "seed_distance",
    "all_angles",
    "separate_contours",
    "snake_contrast_list",
    "tables",
    "use_single_paddles",
)

PICTURE_STAGE: Final = 0
CONTOUR_STAGE: Final = 1
DISTRACTOR_STAGE: Final = 2
SINGLE_PADDLE_STAGE: Final = 3

MOST_ATTEMPTS: Final = 1_048_576
FREE_UP_TO: Final = 76
COLLISION_FROM: Final = 459
LEAST_WEIGHT: Final = 27_380_416
PIXEL_GUESSES: Final = 16

# What cv2.dilate leaves on an array of float64 where no pixel of the kernel lies inside the image.
MINUS_INFINITY: Final = -np.finfo(np.float64).max

# Reading ahead changes no word, since a block depends only on its counter; it only saves calls of NumPy.
BLOCKS_PER_READ: Final = 6


class DrawFailedError(Exception):
    """An attempt at two contours, or a try at a distractor or single paddle, ended with the page's "fail"."""


# --- words -----------------------------------------------------------------------------------------------------------


def stream_key(config: Mapping[str, Any], seed: int, split: str) -> tuple[int, int]:
    """Return the two key words."""
    drawn = {"task": "pathfinder", "version": VERSION, "config": dict(config), "seed": seed, "split": split}
    text = json.dumps(drawn, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    digest = hashlib.sha256(text.encode("ascii")).digest()
    return int.from_bytes(digest[0:8], "little"), int.from_bytes(digest[8:16], "little")


class WordStream:
    """The words of one (index, stage, number), in order."""

    def __init__(self, key: tuple[int, int], index: int, stage: int, number: int) -> None:
        self.key = np.array(key, dtype=np.uint64)
        self.index = index
        self.stage = stage
        self.number = number
        self.next_block = 0
        self.words: list[int] = []
        self.position = 0

    def next_word(self) -> int:
        if self.position == len(self.words):
            blocks = range(self.next_block, self.next_block + BLOCKS_PER_READ)
            counters = np.array([[block, self.number, self.index, self.stage] for block in blocks], dtype=np.uint64)
            self.words = philox4x64(counters, self.key).ravel().tolist()
            self.next_block += BLOCKS_PER_READ
            self.position = 0
        word = self.words[self.position]
        self.position += 1
        return word

    def below(self, k: int) -> int:
        if k < 1:
            raise ValueError(f"below({k}) has no value")
        return self.next_word() * k >> 64

    def one_of(self, length: int) -> int:
        """Return the position of one of a list's entries; a list of one entry takes no word."""
        if length == 1:
            return 0
        return self.below(length)


# --- coordinates -----------------------------------------------------------------------------------------------------


def shift(distance: int, angle: float) -> Pixel:
    y = math.ceil(round(distance * math.sin(angle), 9))
    x = math.ceil(round(distance * math.cos(angle), 9))
    return y, x


def moved(pixel: Pixel, step: Pixel) -> Pixel:
    return pixel[0] + step[0], pixel[1] + step[1]


def reverse(angle: float) -> float:
    return angle + math.pi if angle < 0 else angle - math.pi


def inside(pixel: Pixel, n: int) -> bool:
    return 0 <= pixel[0] < n and 0 <= pixel[1] < n


# --- drawn primitives ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pen:
    """All that the shape of a paddle depends on but its angle."""

    length: int
    thickness: Fraction
    scale: int
    margin: int


def disc(radius: int) -> Bytes:
    """Return the disc of this radius as an array of zeros and ones, its centre in the middle."""
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    return np.asarray(y * y + x * x <= radius * radius, dtype=np.uint8)


def dilated_by_disc(mask: Bytes, radius: int) -> Bytes:
    return np.asarray(cv2.dilate(mask, disc(radius)), dtype=np.uint8)


def shrunk(picture: Bytes, side: int) -> Bytes:
    return np.array(Image.fromarray(picture).resize((side, side), Image.Resampling.LANCZOS), dtype=np.uint8)


def laid(patch: Bytes, centre: Pixel, pixel: Pixel, height: int, width: int) -> Bytes:
    """Return an array of zeros with the patch on it, the patch's centre on the pixel; what falls outside is dropped."""
    canvas = np.zeros((height, width), dtype=np.uint8)
    top, left = pixel[0] - centre[0], pixel[1] - centre[1]
    bottom, right = top + patch.shape[0], left + patch.shape[1]
    if bottom > 0 and right > 0 and top < height and left < width:
        part = patch[max(0, -top) : height - top, max(0, -left) : width - left]
        canvas[max(0, top) : max(0, top) + part.shape[0], max(0, left) : max(0, left) + part.shape[1]] = part
    return canvas


def patch_reach(pen: Pen) -> int:
    """Return R: a paddle's patches have side 2R + 1, and their centre on (R, R)."""
    return pen.length + math.ceil(pen.thickness) + pen.margin


@cache
def big_line(pen: Pen, angle: float) -> Bytes:
    """Return the paddle drawn on the enlarged canvas."""
    width = pen.thickness * pen.scale
    if width.denominator != 1:
        raise ValueError(f"a width of {width} pixels is no integer")
    centre = patch_reach(pen) * pen.scale
    end_y, end_x = moved((centre, centre), shift(pen.length * pen.scale, angle))
    canvas = Image.new("F", (2 * centre + 1, 2 * centre + 1), 0)
    ImageDraw.Draw(canvas).line([(centre, centre), (end_x, end_y)], fill=255, width=int(width))
    return np.array(canvas).astype(np.uint8)


@cache
def line_patch(pen: Pen, angle: float) -> Bytes:
    return shrunk(big_line(pen, angle), 2 * patch_reach(pen) + 1)


@cache
def mask_patch(pen: Pen, angle: float) -> Bytes:
    return shrunk(dilated_by_disc(big_line(pen, angle), pen.margin * pen.scale), 2 * patch_reach(pen) + 1)


@cache
def footprint(pen: Pen, angle: float) -> Bytes:
    """Return the structuring element, of zeros and ones, whose anchor is its middle."""
    reach = patch_reach(pen)
    b = pen.length + pen.margin
    square = laid(mask_patch(pen, angle), (reach, reach), (b + 1, b + 1), 2 * b + 1, 2 * b + 1)
    return np.asarray(square == 255, dtype=np.uint8)


def footprint_clear(pen: Pen, angle: float, blocked: npt.NDArray[np.bool_], all_angles: bool) -> npt.NDArray[np.bool_]:
    """Say of each pixel p whether the footprint at p has image pixels, none of which is blocked.

    It fails if the footprint can leave the image, unless `all_angles` is set.
    """
    dilated = np.asarray(cv2.dilate(blocked.astype(np.float64), footprint(pen, angle)))
    if dilated.min() == MINUS_INFINITY and not all_angles:
        raise DrawFailedError("the footprint can leave the image")
    return np.asarray(dilated == 0, dtype=np.bool_)


def start_border(n: int, padding: int, seed_distance: int) -> npt.NDArray[np.bool_]:
    """Return where the footprint of the first paddle of contour 0 must not lie."""
    y, x = np.mgrid[0:n, 0:n]
    nearest_edge = np.minimum(np.minimum(y, n - 1 - y), np.minimum(x, n - 1 - x))
    return np.asarray((nearest_edge < padding) | (nearest_edge < 2 * seed_distance), dtype=np.bool_)


@cache
def start_pixels(
    pen: Pen, degrees: int, n: int, padding: int, seed_distance: int, all_angles: bool
) -> tuple[Pixel, ...] | None:
    """Return the start pixels in row-major order; None where that the footprint can leave the image is a failure."""
    try:
        clear = footprint_clear(pen, math.radians(degrees), start_border(n, padding, seed_distance), all_angles)
    except DrawFailedError:
        return None
    return tuple((int(y), int(x)) for y, x in np.argwhere(clear))


@cache
def ring_candidates(radius: int) -> tuple[Pixel, ...]:
    pairs = set()
    k = 0
    while k / radius < 2 * math.pi:
        t = k / radius
        pairs.add((math.floor(radius * math.sin(t)), math.floor(radius * math.cos(t))))
        k += 1
    return tuple(sorted(pairs))


def candidate_angle(candidate: Pixel) -> float:
    return math.atan2(candidate[0], candidate[1])


def turn_weight(from_angle: float, to_angle: float, continuity: float) -> int:
    difference = abs(to_angle - from_angle)
    e = min(difference, 2 * math.pi - difference)
    f = min(continuity * e, math.pi / 2)
    return math.floor(2**30 * math.cos(f) ** 2 + 0.5)


@cache
def turn_weights(radius: int, from_angle: float, continuity: float) -> tuple[int, ...]:
    """Return the turn weight of each ring candidate."""
    return tuple(turn_weight(from_angle, candidate_angle(q), continuity) for q in ring_candidates(radius))


def marker(tip: Pixel, radius: Fraction, scale: int, n: int) -> Bytes:
    i, j = np.mgrid[0 : n * scale, 0 : n * scale]
    squared_distance = (i - tip[0] * scale) ** 2 + (j - tip[1] * scale) ** 2
    # A integer is at most a fraction exactly if it is at most the fraction's floor.
    big = np.where(squared_distance <= math.floor((radius * scale) ** 2), 255, 0).astype(np.uint8)
    return shrunk(big, n)


# --- contours --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Contrast:
    """A contrast's exact value, and its position as a row holds it."""

    value: Fraction
    position: int


@dataclass(frozen=True)
class Paddle:
    """A paddle as drawn: from this pixel, at this angle."""

    pixel: Pixel
    angle: float
    contrast: Contrast


@dataclass
class Contour:
    """A contour so far; `angle` is the last angle, that is θ or the last candidate's, not the angle drawn."""

    pivot: Pixel
    angle: float
    paddles: list[Paddle]


@dataclass
class Counts:
    """How often something was done, in failed attempts and tries too."""

    extensions: int = 0
    draws: int = 0
    tries: int = 0


@dataclass
class Targets:
    """The two contours of a successful attempt, and the mask that the distractors start from."""

    contours: tuple[Contour, Contour]
    mask: Bytes = field(repr=False)

    def origin_tip(self, number: int) -> Pixel:
        return self.contours[number].paddles[0].pixel

    def terminal_tip(self, number: int) -> Pixel:
        paddles = self.contours[number].paddles
        return paddles[-1].pixel if len(paddles) > 1 else (0, 0)


class Drawer:
    """Draws one picture."""

    def __init__(self, config: Mapping[str, Any], seed: int, split: str, index: int) -> None:
        if set(config) != set(CONFIG_FIELDS):
            raise ValueError(f"not the page's fields: {sorted(set(config) ^ set(CONFIG_FIELDS))}")
        self.config = config
        self.index = index
        self.key = stream_key(config, seed, split)
        self.n: int = config["resolution"]
        self.snake_contrasts = [Fraction(str(contrast)) for contrast in config["snake_contrast_list"]]
        self.paddle_contrasts = [Fraction(str(contrast)) for contrast in config["paddle_contrast_list"]]
        self.paddle_trials: int = config["max_paddle_retrial"] + 1
        self.counts = Counts()

        words = self.stream(PICTURE_STAGE, 0)
        self.label = words.below(2)
        self.margin: int = config["paddle_margin_list"][words.below(len(config["paddle_margin_list"]))]
        self.origin = words.below(2)

        self.pen = Pen(
            length=config["paddle_length"],
            thickness=Fraction(str(config["paddle_thickness"])),
            scale=config["antialias_scale"],
            margin=self.margin,
        )

    def stream(self, stage: int, number: int) -> WordStream:
        return WordStream(self.key, self.index, stage, number)

    # masks

    def new_mask(self) -> Bytes:
        mask = np.full((self.n, self.n), 255, dtype=np.uint8)
        padding = self.config["padding"]
        mask[padding : self.n - padding, padding : self.n - padding] = 0
        return mask

    def paddle_mask(self, paddle: Paddle) -> Bytes:
        """Return the mask of a paddle on the whole canvas."""
        reach = patch_reach(self.pen)
        return laid(mask_patch(self.pen, paddle.angle), (reach, reach), paddle.pixel, self.n, self.n)

    def paddle_line(self, paddle: Paddle) -> Bytes:
        """Return the line of a paddle on the whole canvas."""
        reach = patch_reach(self.pen)
        return laid(line_patch(self.pen, paddle.angle), (reach, reach), paddle.pixel, self.n, self.n)

    def add(self, mask: Bytes, paddle: Paddle) -> None:
        np.maximum(mask, self.paddle_mask(paddle), out=mask)

    def collides(self, mask: Bytes, paddle: Paddle) -> bool:
        return bool((mask.astype(np.int64) + self.paddle_mask(paddle).astype(np.int64) >= COLLISION_FROM).any())

    # contrasts

    def contour_contrasts(self, words: WordStream) -> tuple[int, int]:
        """Return the positions of the two contours' contrasts."""
        if len(self.snake_contrasts) == 1:
            return 0, 0
        doubled = 2 * list(range(len(self.snake_contrasts)))
        length = len(doubled)
        first = doubled.pop(words.below(length))
        second = doubled.pop(words.below(length - 1))
        return first, second

    def target_contrast(self, i: int, j: int) -> Contrast:
        """Return the contrast of contour contrast i and paddle contrast j."""
        value = self.snake_contrasts[i] * self.paddle_contrasts[j]
        return Contrast(value, i * len(self.paddle_contrasts) + j)

    def distractor_contrast(self, words: WordStream) -> Contrast:
        i = words.one_of(len(self.snake_contrasts))
        if self.config["same_contrast"]:
            j = words.one_of(len(self.paddle_contrasts))
            return self.target_contrast(i, j)
        return Contrast(self.snake_contrasts[i], i)

    # first paddles

    def started(self, tail: Pixel, angle: float, contrast: Contrast) -> Contour | None:
        """Return the contour that starts here; None if its head or pivot lies outside the image."""
        head = moved(tail, shift(self.pen.length, angle))
        pivot = moved(head, shift(self.pen.length + self.margin, reverse(angle)))
        if not inside(head, self.n) or not inside(pivot, self.n):
            return None
        return Contour(pivot, angle, [Paddle(tail, angle, contrast)])

    def start_contour_0(self, words: WordStream, contrast: Contrast) -> Contour:
        for _ in range(self.paddle_trials):
            degrees = words.below(360) - 180
            starts = start_pixels(
                self.pen,
                degrees,
                self.n,
                self.config["padding"],
                self.config["seed_distance"],
                self.config["all_angles"],
            )
            if starts is None:
                raise DrawFailedError("the footprint can leave the image")
            if not starts:
                raise DrawFailedError("no start pixel")
            tail = starts[words.below(len(starts))]
            contour = self.started(tail, math.radians(degrees), contrast)
            if contour is not None:
                return contour
        raise DrawFailedError("contour 0 does not start inside the image")

    def start_contour_1(self, words: WordStream, contrast: Contrast, other_tail: Pixel) -> Contour:
        for _ in range(self.paddle_trials):
            angle = math.radians(words.below(360) - 180)
            phi = math.radians(words.below(360))
            distance = self.config["seed_distance"]
            tail = (
                round(other_tail[0] + round(distance * math.sin(phi), 9)),
                round(other_tail[1] + round(distance * math.cos(phi), 9)),
            )
            contour = self.started(tail, angle, contrast)
            if contour is not None:
                return contour
        raise DrawFailedError("contour 1 does not start inside the image")

    def distractor_tail(self, words: WordStream, angle: float, mask: Bytes) -> Pixel:
        free = mask <= FREE_UP_TO
        if 100 * int(free.sum()) < self.n * self.n:
            raise DrawFailedError("hardly a free pixel")
        blocked = ~free
        blocked[[0, -1], :] = True
        blocked[:, [0, -1]] = True
        open_pixels = footprint_clear(self.pen, angle, blocked, self.config["all_angles"])

        for _ in range(PIXEL_GUESSES):
            y, x = divmod(words.below(self.n * self.n), self.n)
            if open_pixels[y, x]:
                return y, x
        in_order = np.argwhere(open_pixels).tolist()
        if not in_order:
            raise DrawFailedError("no open pixel")
        y, x = in_order[words.below(len(in_order))]
        return y, x

    def start_distractor(self, words: WordStream, contrast: Contrast, mask: Bytes) -> Contour:
        for _ in range(self.paddle_trials):
            angle = math.radians(words.below(360) - 180)
            tail = self.distractor_tail(words, angle, mask)
            contour = self.started(tail, angle, contrast)
            if contour is not None:
                return contour
        raise DrawFailedError("the distractor does not start inside the image")

    # extension

    def extend(self, words: WordStream, contour: Contour, contrast: Contrast, mask: Bytes) -> None:
        """Give the contour one more paddle, and add its predecessor to the mask."""
        self.counts.extensions += 1
        new_pivot = moved(contour.pivot, shift(self.pen.length + 2 * self.margin, contour.angle))
        radius = self.pen.length + self.margin
        dilated = dilated_by_disc(mask, self.margin)

        weighted: list[tuple[Pixel, int]] = []
        turns = turn_weights(radius, contour.angle, self.config["continuity"])
        for candidate, turn in zip(ring_candidates(radius), turns, strict=True):
            head = moved(new_pivot, candidate)
            if inside(head, self.n):
                weighted.append((candidate, (255 - int(dilated[head])) * turn))
        total = sum(weight for _, weight in weighted)
        if total <= LEAST_WEIGHT or not weighted:
            raise DrawFailedError("no way on")

        for _ in range(self.paddle_trials):
            self.counts.draws += 1
            candidate = chosen(weighted, words.below(total))
            angle = candidate_angle(candidate)
            paddle = Paddle(moved(new_pivot, candidate), reverse(angle), contrast)
            if not self.collides(mask, paddle):
                self.add(mask, contour.paddles[-1])
                contour.pivot = new_pivot
                contour.angle = angle
                contour.paddles.append(paddle)
                return
        raise DrawFailedError("every paddle drawn collides")

    # the stages

    def attempt(self, number: int) -> Targets:
        """Make this attempt at two contours."""
        words = self.stream(CONTOUR_STAGE, number)
        separate: bool = self.config["separate_contours"]
        paddle_choices = len(self.paddle_contrasts)

        mask_0 = self.new_mask()
        mask_1 = self.new_mask() if separate else mask_0

        snake_0, snake_1 = self.contour_contrasts(words)
        contrast_0 = self.target_contrast(snake_0, words.one_of(paddle_choices))
        contour_0 = self.start_contour_0(words, contrast_0)
        contrast_1 = self.target_contrast(snake_1, words.one_of(paddle_choices))
        contour_1 = self.start_contour_1(words, contrast_1, contour_0.paddles[0].pixel)
        if separate:
            self.add(mask_1, contour_0.paddles[0])
            self.add(mask_0, contour_1.paddles[0])

        for _ in range(1, self.config["contour_length"]):
            j = words.one_of(paddle_choices)
            self.extend(words, contour_0, self.target_contrast(snake_0, j), mask_0)
            if separate:
                self.add(mask_1, contour_0.paddles[-1])
            self.extend(words, contour_1, self.target_contrast(snake_1, j), mask_1)
            if separate:
                self.add(mask_0, contour_1.paddles[-1])

        mask = mask_0
        if separate:
            mask = self.new_mask()
            for paddle in contour_0.paddles + contour_1.paddles:
                self.add(mask, paddle)
        else:
            self.add(mask, contour_1.paddles[-1])

        targets = Targets((contour_0, contour_1), mask)
        self.check_distance(targets)
        return targets

    def check_distance(self, targets: Targets) -> None:
        step: int = self.config["distance_step"]
        if step == 0:
            return
        o = self.origin
        same = floored_distance(targets.origin_tip(o), targets.terminal_tip(o)) // step
        other = floored_distance(targets.origin_tip(o), targets.terminal_tip(1 - o)) // step
        if same != other:
            raise DrawFailedError("the distances would tell the label")

    def first_success(self) -> tuple[int, Targets]:
        """Return the number of the first attempt that succeeds, and its contours."""
        for number in range(MOST_ATTEMPTS):
            try:
                return number, self.attempt(number)
            except DrawFailedError:
                pass
        raise RuntimeError(f"{MOST_ATTEMPTS} attempts failed")

    def try_distractor(self, words: WordStream, length: int, mask: Bytes) -> tuple[Contour, Bytes]:
        """Return a distractor and the mask with it."""
        mask = mask.copy()
        contour = self.start_distractor(words, self.distractor_contrast(words), mask)
        for _ in range(1, length):
            self.extend(words, contour, self.distractor_contrast(words), mask)
        self.add(mask, contour.paddles[-1])
        return contour, mask

    def place(self, stage: int, number: int, length: int, tries: int, mask: Bytes) -> tuple[list[Contour], Bytes]:
        """Return the distractors that were placed out of this number, and the mask with them."""
        placed = []
        for distractor in range(number):
            for attempt in range(tries):
                if stage == DISTRACTOR_STAGE:
                    self.counts.tries += 1
                words = self.stream(stage, distractor * tries + attempt)
                try:
                    contour, mask = self.try_distractor(words, length, mask)
                except DrawFailedError:
                    continue
                placed.append(contour)
                break
        return placed, mask

    def num_single_paddles(self) -> int:
        if not self.config["use_single_paddles"]:
            return 0
        m = self.margin
        all_paddles: int = int(150 / ((7.5 + 13 * m + 4 * m * m) / 123.5))
        in_contours = 2 * self.config["contour_length"]
        in_distractors = self.config["num_distractor_snakes"] * self.config["distractor_length"]
        return max(0, all_paddles - in_contours - in_distractors)

    def picture(self, paddles: list[Paddle], tips: tuple[Pixel, Pixel]) -> Bytes:
        # Paddles of one contrast may share a canvas, since no contrast is negative; so may the markers.
        canvases: dict[Fraction, Bytes] = {}
        drawn = [(paddle.contrast.value, self.paddle_line(paddle)) for paddle in paddles]
        for tip in tips:
            radius = Fraction(str(self.config["marker_radius"]))
            drawn.append((Fraction(1), marker(tip, radius, self.pen.scale, self.n)))
        for contrast, layer in drawn:
            if contrast < 0:
                raise ValueError(f"contrast {contrast} is negative")
            canvases[contrast] = np.maximum(canvases[contrast], layer) if contrast in canvases else layer

        brightness = [Fraction(0)] * (self.n * self.n)
        for contrast, canvas in canvases.items():
            products = [value * contrast for value in range(256)]
            for position in np.flatnonzero(canvas).tolist():
                brightness[position] = max(brightness[position], products[int(canvas.flat[position])])

        low, high = min(brightness), max(brightness)
        byte_of = {b: math.floor(255 * (b - low) / (high - low) + Fraction(1, 2)) for b in set(brightness)}
        return np.array([byte_of[b] for b in brightness], dtype=np.uint8).reshape(self.n, self.n)

    def example(self, number: int, targets: Targets) -> dict[str, Any]:
        """Return the row of the attempt of this number."""
        config = self.config
        distractors, mask = self.place(
            DISTRACTOR_STAGE,
            number=config["num_distractor_snakes"],
            length=config["distractor_length"],
            tries=config["max_distractor_contour_retrial"] + 1,
            mask=targets.mask,
        )
        singles, _ = self.place(
            SINGLE_PADDLE_STAGE, number=self.num_single_paddles(), length=1, tries=self.paddle_trials, mask=mask
        )

        target_paddles = [paddle for contour in targets.contours for paddle in contour.paddles]
        other_paddles = [paddle for contour in distractors + singles for paddle in contour.paddles]
        marked_end = self.origin if self.label == 1 else 1 - self.origin
        marked = (targets.origin_tip(self.origin), targets.terminal_tip(marked_end))
        tips = [
            coordinate for i in (0, 1) for tip in (targets.origin_tip(i), targets.terminal_tip(i)) for coordinate in tip
        ]

        return {
            "inputs": self.picture(target_paddles + other_paddles, marked),
            "label": self.label,
            "index": self.index,
            "margin": self.margin,
            "attempts": number + 1,
            "origin": self.origin,
            "tips": tips,
            "contours": numbers_of(target_paddles),
            "distractors": numbers_of(other_paddles),
            "num_distractors": len(distractors),
            "extensions": self.counts.extensions,
            "draws": self.counts.draws,
            "tries": self.counts.tries,
        }


def chosen(weighted: list[tuple[Pixel, int]], u: int) -> Pixel:
    """Return the first candidate whose cumulated weight exceeds u."""
    cumulated = 0
    for candidate, weight in weighted:
        cumulated += weight
        if cumulated > u:
            return candidate
    raise AssertionError("u is not below the sum of the weights")


def floored_distance(a: Pixel, b: Pixel) -> int:
    return math.isqrt((a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2)


def numbers_of(paddles: list[Paddle]) -> list[int]:
    """Return four numbers for each paddle."""
    numbers = []
    for paddle in paddles:
        hundredths = round(100 * math.degrees(paddle.angle))
        numbers += [paddle.pixel[0], paddle.pixel[1], hundredths, paddle.contrast.position]
    return numbers


def draw_example(
    config: Mapping[str, Any], seed: int, split: str, index: int, *, attempt: int | None = None
) -> dict[str, Any]:
    """Return an example's row and the counts; with `attempt`, of that attempt alone, which must succeed."""
    drawer = Drawer(config, seed, split, index)
    if attempt is None:
        number, targets = drawer.first_success()
        return drawer.example(number, targets)
    try:
        targets = drawer.attempt(attempt)
    except DrawFailedError as failure:
        raise AssertionError(f"attempt {attempt} at example {index} fails: {failure}") from failure
    return drawer.example(attempt, targets)


def attempt_succeeds(config: Mapping[str, Any], seed: int, split: str, index: int, attempt: int) -> bool:
    """Say whether this attempt at an example's two contours succeeds."""
    try:
        Drawer(config, seed, split, index).attempt(attempt)
    except DrawFailedError:
        return False
    return True
