"""The manifest's entry for one shard file."""

from typing import Annotated

from msgspec import Meta, Struct

from lra_data.splits import SPLITS
from lra_data.store.strict_json import Count, PositiveCount

SHARD_PATTERN = rf"({'|'.join(SPLITS)})-\d{{5}}-of-\d{{5}}\.[a-z]+"


class Shard(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file: rows start .. stop - 1 of `split`, its digests, and counts for the dataset card.

    bytes: size of the file.
    logical: digest of the decoded rows, the same in every format.
    batch_rows: rows per batch; the last batch may have fewer.
    batch_offsets: byte positions of the record batches of an Arrow stream; empty for other formats.
    label_counts: number of rows with each label.
    shortest, longest, elements: smallest, largest and total length of `inputs`.
    """

    file: Annotated[str, Meta(pattern=rf"\A{SHARD_PATTERN}\Z")]
    format: str
    split: str
    start: Count
    stop: Count
    bytes: Count
    sha256: str
    logical: str
    batch_rows: PositiveCount
    batch_offsets: tuple[Count, ...]
    label_counts: tuple[Count, ...]
    shortest: Count
    longest: Count
    elements: Count

    def __post_init__(self) -> None:
        if max(self.start, self.stop, self.bytes, self.batch_rows, self.shortest, self.longest, self.elements) >= 2**63:
            raise ValueError("expected numbers below 2**63")
