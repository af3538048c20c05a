"""mlpen/Nystromformer at f02d511, which Skyformer shares: LRA/datasets/*.py and LRA/code/dataset.py.

Its files are `<task>.{train,dev,test}.pickle`: see `pickles.py`.
"""

from lra_data.interop.encoders import has_32_pixels, only_grey, pixels_without_black
from lra_data.interop.layouts import Layout
from lra_data.interop.pickles import (
    TaskPickles,
    pathfinder_name,
    pickle_files,
    refuse_colour,
    refuse_long_expressions,
    refuse_other_resolutions,
)
from lra_data.interop.protocol import CodeBase, Reading, View
from lra_data.task import Task


def _only_32_pixels(task: Task) -> str:
    return "" if has_32_pixels(task) else "reads pictures of 32 x 32 pixels alone"


_MASK = "ids of 0, so black pixels are taken for padding"
_OVER_LRA = "made by LRA's own pipeline with its unseeded shuffle buffers, so no order of theirs can be repeated"

_READINGS = {
    "image": Reading(
        reader="LRA/datasets/cifar10.py, LRA/code/dataset.py",
        ids="grey values 0 to 255",
        vocab_size=512,
        max_length=1024,
        cut="nothing",
        padding="none",
        mask=_MASK,
        splits="those of lra-2020",
        order="of the pickles, before the reader's unseeded shuffle",
        grey="tf.image.rgb_to_grayscale on integers",
        view=View(encode=pixels_without_black, refusal=only_grey),
    ),
    "listops": Reading(
        reader="LRA/datasets/listops.py, LRA/code/dataset.py",
        ids="as lra-2020, in the order of words of the process that made the pickles",
        vocab_size=32,
        max_length=2000,
        cut="the first 2,000 ids",
        padding="0 on the right to 2,048",
        mask="ids of 0",
        splits="basic_train.tsv, basic_val.tsv, basic_test.tsv",
        order="of the pickles",
        differences=(_OVER_LRA,),
    ),
    "pathfinder": Reading(
        reader="LRA/datasets/pathfinder.py, LRA/code/dataset.py",
        ids="grey values 0 to 255",
        vocab_size=512,
        max_length=1024,
        cut="nothing",
        padding="none",
        mask=_MASK,
        splits="80, 10 and 10 % of an unseeded shuffle there, another one on every machine; here those of the set",
        order="of the pickles, before the reader's unseeded shuffle",
        grey="as stored",
        view=View(encode=pixels_without_black, refusal=_only_32_pixels),
    ),
    "retrieval": Reading(
        reader="LRA/datasets/retrieval.py, LRA/code/dataset.py",
        ids="byte + 1",
        vocab_size=512,
        max_length=4000,
        cut="the first 10,000 bytes, then the first 4,000 ids",
        padding="0 on the right to 4,096",
        mask="ids of 0",
        splits="new_aan_pairs.train.tsv, .eval.tsv, .test.tsv; TAB, LF, CR and NUL of a text are spaces there",
        order="of the pickles",
        differences=(_OVER_LRA,),
    ),
    "text": Reading(
        reader="LRA/datasets/text.py, LRA/code/dataset.py",
        ids="byte + 1",
        vocab_size=512,
        max_length=1000,
        cut="the first 1,000 ids",
        padding="0 on the right to 1,024",
        mask="ids of 0",
        splits="train and test of TensorFlow Datasets; validation is test",
        order="of the pickles",
        differences=(
            _OVER_LRA,
            "its configuration asks for 4,000, the pickles hold 1,024; Skyformer's hold 4,000 ids, padded to 4,096",
        ),
    ),
}

CODE_BASE = CodeBase(
    name="nystromformer",
    readings=_READINGS,
    layouts=(
        Layout(
            name="nystromformer",
            summary="for Nyströmformer's LRA/datasets: <task>.{train,dev,test}.pickle",
            tasks={
                "listops": pickle_files(TaskPickles(cut=2000, length=2048, refusal=refuse_long_expressions)),
                "text": pickle_files(TaskPickles(offset=1, cut=1000, length=1024)),
                "retrieval": pickle_files(TaskPickles(offset=1, cut=4000, length=4096, through_tsv=True)),
                "image": pickle_files(TaskPickles(cut=1024, length=1024, refusal=refuse_colour)),
                "pathfinder": pickle_files(
                    TaskPickles(cut=1024, length=1024, name=pathfinder_name, refusal=refuse_other_resolutions)
                ),
            },
        ),
    ),
)
