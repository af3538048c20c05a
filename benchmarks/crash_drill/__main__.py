"""Kills builds at random moments; checks that no partial set looks complete, and that finished sets are the same bytes.

    python -m benchmarks.crash_drill [--task TASK] [--workers 1 2] [--kills 10] [--seed 0] [flags of `lra-data build`]

A reference is built without interruption. Then there are two drills for each number of workers: SIGKILL goes to the
main process alone, and to its whole process group. Builds are killed at moments drawn uniformly from the time of an
uninterrupted build, and started again, until the requested number of kills has hit a running build. A build that ends
before its moment is compared with the reference and removed, and the next build starts from nothing.

Not here: power cuts, which need a machine that loses its page cache; a killed worker whose parent survives.
"""

import argparse
import hashlib
import sys
import tempfile
from collections import Counter
from pathlib import Path

import lra_data
from benchmarks.crash_drill.builds import DrillError
from benchmarks.crash_drill.drill import DrillReport, run_drill


def summary_lines(report: DrillReport) -> list[str]:
    """A summary of a drill in three lines."""
    states = Counter(
        "complete"
        if kill.whole
        else "no shard"
        if kill.shards == 0
        else "all shards, no manifest"
        if kill.shards == report.num_shards
        else "some shards"
        for kill in report.kills
    )
    found = ", ".join(f"{state} {count}" for state, count in states.items())
    slowest = max((kill.stray_seconds for kill in report.kills), default=0.0)
    return [
        f"  an uninterrupted build takes {report.seconds:.2f} s",
        f"  {len(report.kills)} kills ({found}); {report.builds_finished} builds finished and compared; "
        f"all processes ended within {1000 * slowest:.0f} ms of a kill",
        f"  load_dataset: {report.load_check}; {len(report.violations)} violations",
    ]


def parse_arguments(arguments: list[str] | None = None) -> tuple[argparse.Namespace, list[str]]:
    """The drill's own flags, and the other flags, which are for the build."""
    parser = argparse.ArgumentParser(
        description="Kill builds at random moments. Without further flags the sets have their full size.",
        epilog="Other flags go to `lra-data build TASK`, such as --train 2000 --num-shards 4 --format parquet.",
        allow_abbrev=False,
    )
    parser.add_argument("--task", default="listops", help="task to build (default: listops)")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], help="numbers of workers (default: 1 2)")
    parser.add_argument("--kills", type=int, default=10, help="number of kills in each drill (default: 10)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments, not of the set (default: 0)")
    return parser.parse_known_args(arguments)


def digest_of_sources() -> str:
    """One digest of the sources of lra_data, since an edit during a drill would look like a file with wrong bytes."""
    folder = Path(lra_data.__file__).parent
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(folder.rglob("*.py")))).hexdigest()


def main() -> None:
    """Run the drills and exit with 1 on any violation."""
    options, build_arguments = parse_arguments()
    sources = digest_of_sources()
    try:
        reports = run_drills(options, build_arguments)
    except DrillError as error:
        print(f"the drill could not continue: {error}")
        reports = []
    violations = [text for report in reports for text in report.violations]
    num_kills = sum(len(report.kills) for report in reports)
    num_builds = sum(report.builds_finished for report in reports)
    print(f"in all: {num_kills} kills, {num_builds} builds finished and compared, {len(violations)} violations")
    if digest_of_sources() != sources:
        print("the sources of lra_data were edited during the drill, so its result is not valid: run it again")
        sys.exit(1)
    sys.exit(1 if violations or not reports else 0)


def run_drills(options: argparse.Namespace, build_arguments: list[str]) -> list[DrillReport]:
    """Run the drills: for every number of workers, kill the main process, and then its group."""
    reports: list[DrillReport] = []
    asked = False
    with tempfile.TemporaryDirectory(prefix="lra-data-drill-") as name:
        for workers in options.workers:
            for kill_group in (False, True):
                target = "the process group" if kill_group else "the main process"
                print(f"workers {workers}, SIGKILL to {target}:", flush=True)
                report = run_drill(
                    workers=workers,
                    kills=options.kills,
                    seed=options.seed,
                    build_arguments=[options.task, *build_arguments],
                    folder=Path(name),
                    kill_group=kill_group,
                    check_load=not asked,
                    say=lambda line: print(line, flush=True),
                )
                # Slow, and the same for every drill: once is enough.
                asked = asked or report.load_check.startswith(("refused", "did not"))
                reports.append(report)
                print("\n".join(summary_lines(report)), flush=True)
    return reports


if __name__ == "__main__":
    main()
