"""The protocol of facebookresearch/mega at 09f1a87: examples/mega/lra/data_process.py, README.lra.md, fairseq/tasks.

Pictures are exact without its shuffle: as data_process.py writes them and `lra-image` reads them with --no-shuffle.
"""

from lra_data.interop.protocol import Reading

_READER = "examples/mega/lra/data_process.py"
_IDS = "<s> 0, <pad> 1, </s> 2, <unk> 3, then a dictionary by frequency in prepared files"
_PREPARED = "it reads an archive of prepared files, lra.zip; how they were made is not in the repository"
_LABELS = "a class's number is its rank by frequency in train, not the label"
_UNSHUFFLED = "before the shuffle: exact with --no-shuffle, without which numpy shuffles every split by the run's seed"

READINGS = {
    "image": Reading(
        exact=True,
        reader=_READER,
        ids="no ids: float32 (grey / 255 - 0.48) / 0.24",
        vocab_size=None,
        max_length=1024,
        cut="nothing",
        padding="none",
        mask="nothing",
        splits="torch.utils.data.random_split of the 50,000 with seed 42: 45,000, 5,000; test",
        order=f"of the split's permutation of upstream's order; test in upstream's order; {_UNSHUFFLED}",
        grey="torchvision Grayscale, which is Pillow's convert('L')",
    ),
    "listops": Reading(
        exact=False,
        reader="README.lra.md",
        ids=_IDS,
        vocab_size=None,
        end_mark="</s>, which the cut takes from longer examples",
        max_length=2002,
        cut="the first 2,002 ids",
        padding="1 on the right to the longest of a batch",
        mask="ids of 1",
        splits="as prepared",
        order="shuffled by numpy with a seed, every split",
        differences=(_PREPARED, _LABELS),
    ),
    "pathfinder": Reading(
        exact=True,
        reader=_READER,
        ids="no ids: float32 (grey / 255 - 0.5) / 0.5",
        vocab_size=None,
        max_length=0,
        cut="nothing",
        padding="none",
        mask="nothing",
        splits="torch.utils.data.random_split of all pictures of the hard difficulty with seed 42: 80, 10, 10 %",
        order=f"of the split's permutation of the metadata files by number, line by line; {_UNSHUFFLED}",
        grey="Pillow's convert('L') of pictures that are grey",
    ),
    "retrieval": Reading(
        exact=False,
        reader="README.lra.md",
        ids=_IDS,
        vocab_size=None,
        end_mark="</s>, which the cut takes from longer examples",
        max_length=4002,
        cut="the first 4,002 ids",
        padding="1 on the right to the longest of a batch",
        mask="ids of 1",
        splits="as prepared",
        order="shuffled by numpy with a seed, every split",
        differences=(_PREPARED, _LABELS),
    ),
    "text": Reading(
        exact=False,
        reader="README.lra.md",
        ids=_IDS,
        vocab_size=None,
        end_mark="</s>, which the cut takes from longer examples",
        max_length=4002,
        cut="the first 4,002 ids",
        padding="1 on the right to the longest of a batch",
        mask="ids of 1",
        splits="as prepared",
        order="shuffled by numpy with a seed, every split",
        differences=(_PREPARED, _LABELS),
    ),
}
