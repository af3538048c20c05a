"""Reads the arguments; see the package."""

import argparse
import json

from benchmarks.clusters.engines import compare_engines
from benchmarks.clusters.finish import measure_finish


def main() -> None:
    """Print one JSON line a measurement."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.clusters")
    commands = parser.add_subparsers(dest="command", required=True)
    engines = commands.add_parser("engines")
    engines.add_argument("--images", type=int, default=20_000)
    engines.add_argument("--rounds", type=int, default=3)
    finish = commands.add_parser("finish")
    finish.add_argument("--rows", type=int, default=30_000_000)
    given = parser.parse_args()
    lines = compare_engines(given.images, given.rounds) if given.command == "engines" else measure_finish(given.rows)
    for line in lines:
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
