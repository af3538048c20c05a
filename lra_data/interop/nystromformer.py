"""The protocol of mlpen/Nystromformer at f02d511, which Skyformer shares: LRA/datasets/*.py and LRA/code/dataset.py."""

from lra_data.interop.protocol import Reading

_MASK = "ids of 0, so black pixels are taken for padding"
_OVER_LRA = "made by LRA's own pipeline with its unseeded shuffle buffers, so no order of theirs can be repeated"

READINGS = {
    "image": Reading(
        exact=True,
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
    ),
    "listops": Reading(
        exact=False,
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
        exact=True,
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
    ),
    "retrieval": Reading(
        exact=False,
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
        exact=False,
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
