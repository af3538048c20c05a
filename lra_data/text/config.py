"""The parameters of Text and its presets. Light: nothing numerical is imported here."""

from dataclasses import dataclass, field

from lra_data.checks import plain_int
from lra_data.errors import UsageError
from lra_data.family import Family
from lra_data.task import Preset

# Reviews of each label in each half of the corpus.
REVIEWS_A_FOLDER = 12_500


@dataclass(frozen=True, kw_only=True)
class Config:
    """How the 50,000 labelled reviews are split. The default is LRA's way: validation and test are the same reviews."""

    holdout: int = field(
        default=0,
        metadata={
            "help": "Number of train reviews moved to validation, half of each label; 0: validation is test, as in LRA"
        },
    )

    def __post_init__(self) -> None:
        number = plain_int(self.holdout)
        if number is None:
            raise UsageError(f"text: holdout must be an integer, got {self.holdout!r}")
        object.__setattr__(self, "holdout", number)
        if not 0 <= self.holdout < 2 * REVIEWS_A_FOLDER or self.holdout % 2:
            raise UsageError(f"text: holdout must be an even number below {2 * REVIEWS_A_FOLDER}, got {self.holdout}")


HOLDOUT = 2_500

PRESETS = {
    "lra": Preset(
        config=Config(),
        sizes={"train": 25_000, "validation": 25_000, "test": 25_000},
        summary="IMDb reviews as bytes; validation and test are the same reviews, as in LRA",
    ),
    "holdout": Preset(
        config=Config(holdout=HOLDOUT),
        sizes={"train": 25_000 - HOLDOUT, "validation": HOLDOUT, "test": 25_000},
        summary="the same with 2,500 train reviews as a validation split of its own",
    ),
}

FAMILY = Family(config=Config, presets=PRESETS, corpus="Corpus: aclImdb_v1.tar.gz, or the unpacked folder")
