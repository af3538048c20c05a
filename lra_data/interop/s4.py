"""The protocol of state-spaces/s4 at e757cef: src/dataloaders/{lra,basic,base}.py and configs/{dataset,experiment}."""

from lra_data.interop.protocol import Reading

_CHARACTERS = (
    "Unicode characters of decoded text, in a vocabulary by frequency that torchtext builds; bytes and characters are "
    "different things in any text that is not ASCII"
)

READINGS = {
    "image": Reading(
        exact=True,
        reader="src/dataloaders/basic.py, CIFAR10 with grayscale",
        ids="no ids: float32 (grey / 255 - 122.6 / 255) / (61 / 255)",
        vocab_size=None,
        max_length=1024,
        cut="nothing",
        padding="none",
        mask="nothing",
        splits="torch.utils.data.random_split of the 50,000 with seed 42: 45,000, 5,000; test",
        order="of the split's permutation of upstream's order; test in upstream's order",
        grey="torchvision Grayscale, which is Pillow's convert('L')",
    ),
    "listops": Reading(
        exact=True,
        reader="src/dataloaders/lra.py, ListOps",
        ids="<pad> 0, <unk> 1, <eos> 2, then words by frequency in train, equal ones by alphabet",
        vocab_size=18,
        end_mark="<eos>",
        max_length=2048,
        cut="the first 2,047 words",
        padding="0 on the right to the longest of a batch",
        mask="nothing; lengths are handed on",
        splits="basic_train.tsv, basic_val.tsv, basic_test.tsv",
        order="of the files",
    ),
    "pathfinder": Reading(
        exact=True,
        reader="src/dataloaders/lra.py, PathFinder and PathFinderDataset",
        ids="no ids: float32 grey / 255; before 2023 its configuration had (grey / 255 - 0.5) / 0.5",
        vocab_size=None,
        max_length=0,
        cut="nothing",
        padding="none",
        mask="nothing",
        splits="torch.utils.data.random_split of all pictures of the hard difficulty with seed 42: 80, 10, 10 %",
        order="of the split's permutation of the metadata files by number, line by line",
        grey="Pillow's convert('L') of pictures that are grey",
    ),
    "retrieval": Reading(
        exact=False,
        reader="src/dataloaders/lra.py, AAN",
        ids="characters, by frequency in train behind <pad>, <unk>, <eos>",
        vocab_size=98,
        end_mark="<eos>",
        max_length=4000,
        cut="the first 3,999 characters",
        padding="0 on the right to the longest of a batch",
        mask="nothing; lengths are handed on",
        splits="new_aan_pairs.train.tsv, .eval.tsv, .test.tsv",
        order="of the files",
        differences=(
            _CHARACTERS,
            "the files are read as CSV with quoting, which joins or cuts texts that hold quotation marks",
            "its vocabulary of 98 shows that its copy of the texts was reduced to ASCII",
        ),
    ),
    "text": Reading(
        exact=False,
        reader="src/dataloaders/lra.py, IMDB",
        ids="characters seen 15 times in train, by frequency, behind <pad>, <unk>, <eos>",
        vocab_size=135,
        end_mark="<eos>",
        max_length=4096,
        cut="the first 4,095 characters",
        padding="0 on the right to the longest of a batch",
        mask="nothing; lengths are handed on",
        splits="train and test of Hugging Face's imdb; validation is test",
        order="of Hugging Face's imdb",
        differences=(_CHARACTERS, "the order is that of Hugging Face's imdb, which changed with its versions"),
    ),
}
