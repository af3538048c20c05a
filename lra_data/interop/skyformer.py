"""pkuzengqi/Skyformer: src/preprocess/*.py and code/main.py. It reads the tasks as Nyströmformer does, except Text.

Its files are `lra-<task>.{train,dev,test}.pickle`: see `pickles.py`. create_text.py asks for 4,000 ids and adds 96.
"""

from lra_data.interop.layouts import Layout
from lra_data.interop.pickles import (
    TaskPickles,
    pathfinder_name,
    pickle_files,
    refuse_colour,
    refuse_long_expressions,
    refuse_other_resolutions,
)
from lra_data.interop.protocol import CodeBase

_PREFIX = "lra-"

CODE_BASE = CodeBase(
    name="skyformer",
    layouts=(
        Layout(
            name="skyformer",
            summary="for Skyformer's data/lra_processed: lra-<task>.{train,dev,test}.pickle",
            tasks={
                "listops": pickle_files(TaskPickles(cut=2000, length=2048, refusal=refuse_long_expressions), _PREFIX),
                "text": pickle_files(TaskPickles(offset=1, cut=4000, length=4096), _PREFIX),
                "retrieval": pickle_files(TaskPickles(offset=1, cut=4000, length=4096, through_tsv=True), _PREFIX),
                "image": pickle_files(TaskPickles(cut=1024, length=1024, refusal=refuse_colour), _PREFIX),
                "pathfinder": pickle_files(
                    TaskPickles(cut=1024, length=1024, name=pathfinder_name, refusal=refuse_other_resolutions), _PREFIX
                ),
            },
        ),
    ),
)
