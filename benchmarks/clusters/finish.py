"""The end of a large build: reads the markers and digests of rows that were never made, and finds one planted pair."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import lra_data
from lra_data.building.begin import begin
from lra_data.building.build_set import jobs_of
from lra_data.building.duplicates import RowDigests
from lra_data.building.plan import Plan, make_plan
from lra_data.building.shard_job import Marker, ShardJob, digests_file, marker_file, marker_text
from lra_data.store.outputs.folder import FolderOutput
from lra_data.store.outputs.output import Stored, publish, publish_text
from lra_data.store.shard_entry import Shard

TASK = "listops/lra"

_CHILD = "import json, sys; from benchmarks.clusters.finish import end_of_build; end_of_build(*sys.argv[1:])"


def plan_for(rows: int) -> Plan:
    """The plan of a set with that many rows."""
    return make_plan(lra_data.get_task(TASK), sizes={"train": rows - 2000, "validation": 1000, "test": 1000})


def measure_finish(rows: int) -> Iterator[dict[str, Any]]:
    """Simulate the parts here, and measure the end in a process of its own: seconds, and its peak in MB."""
    with tempfile.TemporaryDirectory(prefix="lra-data-finish-") as name:
        folder = Path(name) / "set"
        folder.mkdir()
        _simulate_parts(folder, rows)
        done = subprocess.run(
            [sys.executable, "-c", _CHILD, str(folder), str(rows)], capture_output=True, text=True, check=True
        )
        yield json.loads(done.stdout)


def end_of_build(folder: str, rows: str) -> None:
    """What `--finish` does before card and manifest."""
    import resource
    import time

    from lra_data.building.duplicates import find_duplicates
    from lra_data.building.finish import row_digests_of
    from lra_data.building.part_builds import kept_results

    plan = plan_for(int(rows))
    began = time.perf_counter()
    with FolderOutput(Path(folder)).run() as run:
        jobs = jobs_of(run, begin(run, plan, alone=False), lra_data.get_task(TASK), plan, plan.ranges)
        results = [result for result in kept_results(jobs) if result is not None]
        read = time.perf_counter() - began
        found = find_duplicates(plan.description.sizes, row_digests_of(run, plan, results))
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        json.dumps(
            {
                "rows": int(rows),
                "ranges": len(plan.ranges),
                "found": found.first,
                "seconds_for_markers": round(read, 1),
                "seconds": round(seconds, 1),
                "peak_mb": round(peak),
            }
        )
    )


def _simulate_parts(folder: Path, rows: int) -> None:
    plan = plan_for(rows)
    generator = np.random.default_rng(1)
    with FolderOutput(folder).run() as run:
        jobs = jobs_of(run, begin(run, plan, alone=False), lra_data.get_task(TASK), plan, plan.ranges)
        planted = None
        for job in jobs:
            digests = generator.integers(0, 256, (job.rows.stop - job.rows.start, 16), dtype=np.uint8)
            if planted is None:
                planted = digests[7].copy()
            elif job.rows.split == "test":
                digests[3] = planted
            _simulate(job, folder, digests)


def _simulate(job: ShardJob, folder: Path, digests: Any) -> None:
    """The digests and marker of a range, and a shard that is only as long as it should be."""
    stored: list[Stored] = []
    with publish(job.output, digests_file(job.rows), stored.append) as file:
        file.write(RowDigests.of(job.rows.split, job.rows.start, digests).to_bytes())
    size = 1000 * len(digests)
    shard = Shard(
        file=job.rows.file_name("arrow"),
        format="arrow",
        split=job.rows.split,
        start=job.rows.start,
        stop=job.rows.stop,
        bytes=size,
        sha256="0" * 64,
        logical="0" * 64,
        batch_rows=1024,
        batch_offsets=tuple(range(-(-len(digests) // 1024))),
        label_counts=(len(digests),),
        shortest=1,
        longest=1,
        elements=len(digests),
    )
    with (folder / shard.file).open("wb") as file:
        file.truncate(size)
    marker = Marker(plan=job.plan, shard=shard, seal="", rows=stored[0]).checked()
    publish_text(job.output, marker_file(job.rows, "arrow"), marker_text(marker))
