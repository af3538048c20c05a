"""The parameter of Retrieval and its presets. Light: nothing numerical is imported here."""

from dataclasses import dataclass, field

from lra_data.errors import UsageError
from lra_data.family import Family
from lra_data.task import Preset

SPLITTINGS = ("by-pair", "by-paper")

# Pairs in LRA's id lists (its release, and S4's configs/dataset/aan.yaml).
LRA_SIZES = {"train": 147_086, "validation": 18_090, "test": 17_437}

# As many pairs as LRA has, half of them positive; its test split has an odd number.
DRAWN_SIZES = {"train": 147_086, "validation": 18_090, "test": 17_436}


@dataclass(frozen=True, kw_only=True)
class Config:
    """How pairs are drawn from the network if no id lists are given; docs/retrieval_draws.md has the details."""

    splitting: str = field(
        default="by-pair",
        metadata={
            "help": "Splitting: by-pair (a paper may appear in several splits, as in LRA) or by-paper (in one only)"
        },
    )

    def __post_init__(self) -> None:
        if self.splitting not in SPLITTINGS:
            raise UsageError(f"retrieval: splitting must be {' or '.join(SPLITTINGS)}, got {self.splitting!r}")


PRESETS = {
    "by-pair": Preset(
        config=Config(),
        sizes=DRAWN_SIZES,
        summary="AAN papers, cited or not; pairs drawn here, papers recur across splits as in LRA",
    ),
    "by-paper": Preset(
        config=Config(splitting="by-paper"),
        sizes=DRAWN_SIZES,
        summary="the same with each paper in one split only; fewer pairs if the network has fewer",
    ),
}

FAMILY = Family(
    config=Config,
    presets=PRESETS,
    corpus="Corpus: aanrelease2013.tar.gz or the archive of another year, or the unpacked folder",
    pairs=(
        "Folder of id lists that fix the pairs and their order: LRA's new_aan_pairs.{train,eval,test}.only_ids.tsv, "
        "the same without only_ids, or three files of lines `label id1 id2`"
    ),
)
