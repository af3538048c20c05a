"""The protocol of facebookresearch/mega at 09f1a87: examples/mega/lra/data_process.py, README.lra.md, fairseq/tasks."""

from lra_data.protocols.reading import Reading

_READER = "examples/mega/lra/data_process.py"
_IDS = "<s> 0, <pad> 1, </s> 2, <unk> 3, then a dictionary by frequency in prepared files"
_PREPARED = "it reads an archive of prepared files, lra.zip; how they were made is not in the repository"
_LABELS = "a class's number is its rank by frequency in train, not the label"
_SHUFFLED = "every split is shuffled by numpy with the run's seed unless --no-shuffle is given"

READINGS = {
    "image": Reading(
        exact=False,
        reader=_READER,
        ids="no ids: float32 (grey / 255 - 0.48) / 0.24",
        vocab_size=None,
        max_length=1024,
        cut="nothing",
        padding="none",
        mask="nothing",
        splits="torch.utils.data.random_split of the 50,000 with seed 42: 45,000, 5,000; test",
        order="of the split's permutation of upstream's order; test in upstream's order",
        grey="torchvision Grayscale, which is Pillow's convert('L')",
        differences=(_SHUFFLED,),
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
        exact=False,
        reader=_READER,
        ids="no ids: float32 (grey / 255 - 0.5) / 0.5",
        vocab_size=None,
        max_length=0,
        cut="nothing",
        padding="none",
        mask="nothing",
        splits="torch.utils.data.random_split of all pictures of the hard difficulty with seed 42: 80, 10, 10 %",
        order="of the split's permutation of the metadata files by number, line by line",
        grey="Pillow's convert('L') of pictures that are grey",
        differences=(_SHUFFLED,),
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
