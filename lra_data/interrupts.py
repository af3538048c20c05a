"""Ends a command within GRACE_S of Ctrl-C, even if its main thread is busy, with a message for that command.

Python runs the handler of a signal between two bytecodes of the main thread. A compiled kernel, a sort or a backward
pass can delay this for minutes, and a library that calls back from C may swallow the KeyboardInterrupt. So a thread
reads the signals from a socket, to which the interpreter writes their numbers immediately (`signal.set_wakeup_fd`). If
the process still runs GRACE_S later, the thread prints the message and ends the process. That is as safe as a kill,
which builds and trainings survive.

    answer_interrupts("lra-data")           once, before the command
    say_when_interrupted("...")             the message: what the command leaves behind
    answer_also(SIGTERM)                    handle another signal in the same way
    with defer_interrupts(save): ...        a block that checks `signal_that_came` itself, and may end later
    end_interrupted()                       in `except KeyboardInterrupt`

The messages of the commands are in `commands/main.py`.
"""

import contextlib
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from lra_data.errors import LraDataError

# A user should wait at most two seconds; the rest of them is for ending processes and for saving.
GRACE_S = 1.0

_SHELL_OFFSET = 128  # a shell's exit code for a process that signal n ended is 128 + n


class _State:
    """The state of this process's interruption. There is one instance, since signals belong to the process."""

    def __init__(self) -> None:
        self.program = ""
        self.words: Callable[[], str | None] = str
        self.notice = ""
        self.came: int | None = None
        self.raised = False
        self.rescue: Callable[[], None] | None = None
        self.grace = GRACE_S
        self.numbers: tuple[int, ...] = ()
        self.end = threading.Lock()


_state = _State()


def answer_interrupts(program: str) -> None:
    """Watch for SIGINT. Does nothing outside the main thread, or if SIGINT is ignored, as in background jobs."""
    if threading.current_thread() is not threading.main_thread() or _state.numbers:
        return
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return
    _state.program = program
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    signal.set_wakeup_fd(writer.detach(), warn_on_full_buffer=False)
    os.register_at_fork(after_in_child=_leave_to_parent)
    threading.Thread(target=_watch, args=(reader,), name="interrupts", daemon=True).start()
    answer_also(signal.SIGINT)


def answer_also(number: int) -> None:
    """Watch for another signal, in a process that watches for SIGINT; does nothing in others."""
    if _state.program and number not in _state.numbers:
        _state.numbers += (number,)
        signal.signal(number, _on_signal)


def say_when_interrupted(words: str | Callable[[], str | None]) -> None:
    """Set the message after "interrupted": what is kept, and how to continue. A function is called at the end; None is
    for a process whose message another process prints.
    """
    _state.words = words if callable(words) else lambda: words


def signal_that_came() -> int | None:
    """The number of the first signal that asked this process to end."""
    return _state.came


@contextmanager
def defer_interrupts(rescue: Callable[[], None], *, grace: float = GRACE_S, notice: str = "") -> Iterator[None]:
    """Signals do not raise within the block, which must check `signal_that_came` and raise KeyboardInterrupt itself.

    rescue: is called in another thread if the process still runs `grace` seconds after a signal; the process ends when
        it returns.
    notice: is printed immediately, if `grace` is long.
    """
    _state.rescue, _state.grace, _state.notice = rescue, grace, notice
    try:
        yield
    finally:
        _state.rescue, _state.grace, _state.notice = None, GRACE_S, ""
    if _state.came is not None:
        raise KeyboardInterrupt


def end_interrupted() -> NoReturn:
    """Print the message and end this process and its workers; the exit code is 130, as usual in shells for Ctrl-C."""
    _state.end.acquire()  # never released: a second thread waits here until the process ends
    # Not imported here, since the main thread may hold an import lock. If the module is not loaded, there are no
    # workers.
    processes = sys.modules.get("multiprocessing")
    for child in processes.active_children() if processes is not None else ():
        with contextlib.suppress(OSError, ValueError):
            child.kill()
    words = _state.words()
    if words is not None:
        _print(f"{_state.program}: interrupted{f'; {words}' if words else ''}")
    # Not sys.exit: if the interrupt came inside an exec(), CPython ignores the code and kills itself by SIGINT. Also,
    # threads of libraries may still be running.
    os._exit(_SHELL_OFFSET + (_state.came or signal.SIGINT))


def _on_signal(number: int, frame: FrameType | None) -> None:
    """Raise once: a second signal must not disturb the handling of the first."""
    _state.came = _state.came or number
    if _state.rescue is None and not _state.raised:
        _state.raised = True
        raise KeyboardInterrupt


def _watch(reader: socket.socket) -> None:
    while (number := reader.recv(1)[0]) not in _state.numbers:
        pass
    came = time.monotonic()
    _state.came = _state.came or number  # if the handler has to wait for the main thread
    if _state.notice:
        _print(f"{_state.program}: interrupted; {_state.notice}")
    while time.monotonic() - came < _state.grace:
        time.sleep(0.02)
    try:
        if _state.rescue is not None:
            _state.rescue()
    except LraDataError as error:
        _print(f"{_state.program}: error: {error}")
    except Exception:
        traceback.print_exc()
    finally:
        end_interrupted()


def _leave_to_parent() -> None:
    """Reset the state in a forked worker, which must not write to its parent's socket; its parent ends it."""
    signal.set_wakeup_fd(-1)
    for number in _state.numbers:
        signal.signal(number, signal.SIG_IGN)


def _print(line: str) -> None:
    """Write to standard error without the interpreter's locks, which a blocked thread may hold."""
    with contextlib.suppress(OSError, ValueError):
        # An unfinished progress bar has hidden the cursor.
        start = "\r\x1b[2K\x1b[?25h" if sys.stderr is not None and sys.stderr.isatty() else ""
        os.write(2, f"{start}{line}\n".encode(errors="backslashreplace"))
