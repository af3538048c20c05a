"""Follows dashes by good continuation, compiled: the best chains from disc to disc, and from a disc to anywhere else.

A node is a dash with a direction: start y, start x, end y, end x, angle, share of its ink that is present, and the disc
on which it begins (-1 without a disc). A dash has two nodes, 2 k and 2 k + 1. A disc gets dashes in all directions,
since the dashes under it cannot be seen.
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from lra_data.pathfinder.checks.dashes import fit

Floats = NDArray[np.float64]

LEAST = -60.0  # the score of a chain that does not exist

# Columns of a node.
START_Y, START_X, END_Y, END_X, ANGLE, COVERAGE, DISC = range(7)

# A link's cost follows a normal law: half the sum of squares of gap, turn and slip, each in units of its spread. Links
# with a gap or a turn beyond so many spreads, or a greater cost, are not made. A link scores LINK_SCORE minus its cost.
WIDEST_GAP = 4
SHARPEST_TURN = 3.5
GREATEST_COST = 9
LINK_SCORE = 4
LEAST_DISTANCE = 0.5  # pixels; a shorter gap has no reliable direction
# Nodes farther apart than this in y or x are not considered.
REACH_IN_GAPS = 3
REACH = 2  # pixels

COST_OF_MISSING_INK = 12  # of a dash whose ink is missing completely
COST_OF_STOPPING = 3  # times the score of the best link by which a chain could continue after its end


@njit()
def _wrap(angle: float) -> float:
    return (angle + math.pi) % (2 * math.pi) - math.pi


@njit()
def _put(nodes: Floats, row: int, y: float, x: float, angle: float, length: float, coverage: float, disc: int) -> None:
    """Write a dash that starts at (y, x) as two nodes, one for each direction."""
    dy, dx = math.sin(angle) * length, math.cos(angle) * length
    nodes[row : row + 2, COVERAGE] = coverage
    nodes[row : row + 2, DISC] = disc
    nodes[row, START_Y], nodes[row, START_X], nodes[row, END_Y], nodes[row, END_X] = y, x, y + dy, x + dx
    nodes[row, ANGLE] = angle
    row += 1
    nodes[row, START_Y], nodes[row, START_X], nodes[row, END_Y], nodes[row, END_X] = y + dy, x + dx, y, x
    nodes[row, ANGLE] = angle + math.pi


@njit()
def nodes_of(
    dashes: Floats,
    padded: Floats,
    pad: int,
    templates: Floats,
    discs: Floats,
    length: float,
) -> Floats:
    """Nodes (n, 7): first the nodes on discs, then the nodes of dashes (n, 4), which `dashes.find_dashes` gives."""
    num_angles = templates.shape[0] // 4
    num_rays = 2 * num_angles
    nodes = np.empty((2 * num_rays * 2 + 2 * len(dashes), 7))
    count = 0
    for disc in range(2):
        for ray in range(num_rays):
            angle = math.pi * ray / num_angles
            dy, dx = math.sin(angle) * length, math.cos(angle) * length
            y, x = discs[disc, 0], discs[disc, 1]
            cy, cx = round((y + dy / 2) * 2), round((x + dx / 2) * 2)
            template = templates[ray % num_angles * 4 + cy % 2 * 2 + cx % 2]
            coverage = fit(padded, template, int(cy // 2) + pad, int(cx // 2) + pad, 0.0)
            _put(nodes, count, y, x, angle, length, coverage, disc)
            count += 2
    for dash in dashes:
        middle_y, middle_x, angle, coverage = dash
        y, x = middle_y - math.sin(angle) * length / 2, middle_x - math.cos(angle) * length / 2
        _put(nodes, count, y, x, angle, length, coverage, -1)
        count += 2
    return nodes


@njit()
def _link(
    first: Floats, second: Floats, gap: float, gap_spread: float, turn_spread: float, slip_spread: float
) -> float:
    """Score of second following first; -inf if impossible, above 0 if good."""
    dy, dx = second[START_Y] - first[END_Y], second[START_X] - first[END_X]
    distance = math.sqrt(dy * dy + dx * dx)
    if abs(distance - gap) > WIDEST_GAP * gap_spread:
        return -math.inf
    turn = _wrap(second[ANGLE] - first[ANGLE])
    if abs(turn) > SHARPEST_TURN * turn_spread:
        return -math.inf
    slip = 0.0
    if distance > LEAST_DISTANCE:
        way = math.atan2(dy, dx)
        slip = _wrap(way - first[ANGLE]) - _wrap(second[ANGLE] - way)
        slip = _wrap(slip) * min(1.0, distance / gap)
    cost = (((distance - gap) / gap_spread) ** 2 + (turn / turn_spread) ** 2 + (slip / 2 / slip_spread) ** 2) / 2
    if cost > GREATEST_COST:
        return -math.inf
    return LINK_SCORE - cost


@njit()
def _links(
    nodes: Floats, gap: float, gap_spread: float, turn_spread: float, slip_spread: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
    """Possible links as (first, second) and their scores, sorted by first."""
    firsts, seconds, scores = [], [], []
    for first in range(len(nodes)):
        if nodes[first, DISC] >= 0 and first % 2 == 1:
            continue
        for second in range(len(nodes)):
            if second // 2 == first // 2 or (nodes[second, DISC] >= 0 and second % 2 == 0):
                continue
            if (
                abs(nodes[second, START_Y] - nodes[first, END_Y]) > REACH_IN_GAPS * gap + REACH
                or abs(nodes[second, START_X] - nodes[first, END_X]) > REACH_IN_GAPS * gap + REACH
            ):
                continue
            if nodes[first, DISC] >= 0 and nodes[first, DISC] == nodes[second, DISC]:
                continue
            score = _link(nodes[first], nodes[second], gap, gap_spread, turn_spread, slip_spread)
            if score > -math.inf:
                firsts.append(first)
                seconds.append(second)
                scores.append(score)
    return np.array(firsts), np.array(seconds), np.array(scores)


@njit()
def _on_path(back: NDArray[np.int64], layer: int, node: int, wanted: int) -> bool:
    while node >= 0:
        if node // 2 == wanted // 2:
            return True
        node = back[layer, node]
        layer -= 1
    return False


@njit()
def _follow(
    nodes: Floats,
    links: tuple[NDArray[np.int64], NDArray[np.int64], Floats],
    disc: int,
    longest: int,
    emission: Floats,
) -> Floats:
    """Best scores (layers, nodes) of chains of layer + 1 dashes from a disc to a node."""
    firsts, seconds, scores = links
    best = np.full((longest, len(nodes)), -np.inf)
    back = np.full((longest, len(nodes)), -1)
    for node in range(0, len(nodes), 2):
        if nodes[node, DISC] == disc:
            best[0, node] = emission[node]
    for layer in range(1, longest):
        for index in range(len(firsts)):
            first, second = firsts[index], seconds[index]
            score = best[layer - 1, first] + scores[index] + emission[second]
            if score > best[layer, second] and not _on_path(back, layer - 1, first, second):
                best[layer, second] = score
                back[layer, second] = first
    return best


@njit()
def chain_scores(
    nodes: Floats, gap: float, gap_spread: float, turn_spread: float, slip_spread: float, lengths: NDArray[np.int64]
) -> Floats:
    """Best scores (lengths, 3) of chains from disc to disc, and from the first or second disc to another place."""
    links = _links(nodes, gap, gap_spread, turn_spread, slip_spread)
    emission = -COST_OF_MISSING_INK * (1 - nodes[:, COVERAGE])
    # How well a chain that ends here could continue, which is evidence against its end.
    ongoing = np.full(len(nodes), 0.0)
    for index in range(len(links[0])):
        score = links[2][index] + emission[links[1][index]]
        ongoing[links[0][index]] = max(ongoing[links[0][index]], score)
    longest = lengths.max()
    best_a = _follow(nodes, links, 0, longest, emission)
    best_b = _follow(nodes, links, 1, longest, emission)
    result = np.full((len(lengths), 3), LEAST)
    for number in range(len(lengths)):
        layer = lengths[number] - 1
        for node in range(len(nodes)):
            if nodes[node, DISC] == 1:
                result[number, 0] = max(result[number, 0], best_a[layer, node])
            elif nodes[node, DISC] < 0:
                result[number, 1] = max(result[number, 1], best_a[layer, node] - COST_OF_STOPPING * ongoing[node])
                result[number, 2] = max(result[number, 2], best_b[layer, node] - COST_OF_STOPPING * ongoing[node])
    return result
