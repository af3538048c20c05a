"""The 16-byte key of one stream of random choices: for Philox in generated tasks, for a hash in corpora."""

import hashlib
import json
import operator
from collections.abc import Mapping
from typing import Any

STREAM_BYTES = 16


def stream_bytes(task: str, version: int, config: Mapping[str, Any], seed: int, split: str) -> bytes:
    """The first 16 bytes of the SHA-256 of the arguments written as canonical JSON (sorted keys, no spaces).

    `config` holds only the values that decide an example. The key is a hash, not `seed + something`, because with sums
    neighbouring seeds share their streams.
    """
    identity = {"task": task, "version": version, "config": dict(config), "seed": operator.index(seed), "split": split}
    text = json.dumps(identity, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).digest()[:STREAM_BYTES]
