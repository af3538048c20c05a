"""How long to wait for a server: after which errors to try again, and which try is the last."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from lra_data.downloads.transfer_errors import DifferentFileError, FetchError, LocalDiskError, may_pass
from lra_data.errors import LraDataError

if TYPE_CHECKING:
    from tenacity import RetryCallState

Answer = TypeVar("Answer")

# The wait before a further try is drawn from 0 to a bound, which doubles with each try up to the longest. So many ranks
# that lost the same server do not return at the same time.
FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 5.0


@dataclass(frozen=True, kw_only=True)
class Patience:
    """When to give up a server.

    seconds: limit without a received byte, in seconds.
    least_tries: minimum number of tries, even if the seconds are over, since one try on a slow connection may take
    long.
    opening_s: seconds until the last try for a server that has not sent anything yet; None for no such limit.
    """

    seconds: float
    least_tries: int
    opening_s: float | None = None


def patiently(
    ask: Callable[[], Answer], patience: Patience, *, last_byte: Callable[[], float | None] = lambda: None
) -> Answer:
    """The answer of `ask`, which is called again after a temporary error.

    last_byte: time of the last received byte, by `time.monotonic`; None if no byte was received.

    Raises FetchError with the last error of the source. Other errors pass through.
    """
    from tenacity import Retrying, retry_if_exception, wait_random_exponential

    began = time.monotonic()

    def is_last(state: "RetryCallState") -> bool:
        byte = last_byte()
        passed = time.monotonic() - began
        if patience.opening_s is not None and byte is None and passed + state.upcoming_sleep >= patience.opening_s:
            return True
        idle = passed if byte is None else time.monotonic() - byte
        return idle >= patience.seconds and state.attempt_number >= patience.least_tries

    tries = Retrying(
        retry=retry_if_exception(may_pass),
        wait=wait_random_exponential(multiplier=FIRST_WAIT_S, max=LONGEST_WAIT_S),
        stop=is_last,
        reraise=True,
    )
    try:
        return tries(ask)
    except (LraDataError, DifferentFileError, LocalDiskError):
        raise
    # Each file system of fsspec raises its own library's errors, and a wrong storage option raises an error only here.
    except Exception as error:
        raise FetchError(error, tries.statistics["attempt_number"]) from error
