"""The parameter of Image and its presets. Light: nothing numerical is imported here."""

from dataclasses import dataclass, field

from lra_data.checks import plain_int
from lra_data.errors import UsageError
from lra_data.family import Family
from lra_data.task import Preset


@dataclass(frozen=True, kw_only=True)
class Config:
    """The number of channels kept of a picture. The default is LRA's, grey."""

    channels: int = field(
        default=1,
        metadata={"help": "Channels of a picture: 1 for grey as TensorFlow computes it, 3 for red, green and blue"},
    )

    def __post_init__(self) -> None:
        number = plain_int(self.channels)
        if number not in (1, 3):
            raise UsageError(f"image: channels must be 1 or 3, got {self.channels!r}")
        object.__setattr__(self, "channels", number)


# LRA image/input_pipeline.py:59-93: train[:90%], train[90%:] and test of TensorFlow Datasets.
SIZES = {"train": 45_000, "validation": 5_000, "test": 10_000}

PRESETS = {
    "lra": Preset(config=Config(), sizes=SIZES, summary="CIFAR-10 in grey, 1,024 pixels per picture"),
    "rgb": Preset(config=Config(channels=3), sizes=SIZES, summary="CIFAR-10 in colour, 3,072 values per picture"),
}

FAMILY = Family(
    config=Config,
    presets=PRESETS,
    corpus="Corpus: cifar-10-python.tar.gz or cifar-10-binary.tar.gz, or the unpacked folder",
)
