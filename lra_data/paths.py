"""Paths that a user names: `~` is expanded, an address is rejected if a local path is needed, and an unwritable path
gives an error of one line.

`store/location` reads addresses.
"""

import errno
import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lra_data.errors import BuildError, UsageError

# https://…, s3://…, and fsspec's chains such as zip::s3://….
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+(://|::.*://)", re.DOTALL)
# pathlib removes one of two slashes from an address. A drive such as C: has one letter.
_COLLAPSED = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.:-]+):/(?!/)")


def is_address(where: str) -> bool:
    """Whether this is an address such as https://… or s3://…, and not a plain path."""
    return _ADDRESS.match(where) is not None


def local_path(given: Any, what: str) -> Path:
    """The local path for `given`, with `~` expanded; a relative path stays relative.

    what: a description of the path for the error, such as "a folder for the set".

    Raises UsageError for an address, an empty path, and any value that is not a path.
    """
    if not isinstance(given, str | os.PathLike) or not isinstance(os.fspath(given), str):
        raise UsageError(f"expected {what}, got {given!r}: name a path")
    text = os.fspath(given)
    if not text.strip() or "\0" in text:
        raise UsageError(f"expected {what}, got {text!r}: name a path")
    collapsed = None if isinstance(given, str) else _COLLAPSED.match(text)
    if is_address(text) or (collapsed is not None and not os.path.lexists(f"{collapsed['scheme']}:")):
        address = text if collapsed is None else text.replace(":/", "://", 1)
        raise UsageError(
            f"expected {what} on this machine, got the address {shown_address(address)}: name a path; only a set may "
            "be at an address, given as a string"
        )
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise UsageError(f"expected {what}, got {text!r}, whose home folder is unknown: name the full path") from error


def png_path(given: Any) -> Path:
    """`local_path` of a picture's file; raises UsageError also for a suffix other than .png."""
    path = local_path(given, "a file for the picture")
    if path.suffix.lower() != ".png":
        raise UsageError(f"expected a picture's file that ends in .png, got {str(given)!r}")
    return path


def optional_path(given: Any, what: str) -> Path | None:
    """`local_path` for an optional path."""
    return None if given is None else local_path(given, what)


def is_http(where: str) -> bool:
    """Whether this is an http or https address."""
    return where.lower().startswith(("http://", "https://"))


def join_address(folder: str, name: str) -> str:
    """The address of a file in a folder. The part after a ? is often a signature, which each request must include."""
    query = ""
    if is_http(folder):
        folder, mark, query = folder.partition("?")
        query = mark + query
    return f"{folder.rstrip('/')}/{name}{query}" if folder else name


def shown_address(url: str) -> str:
    """An address for messages, without password and signature."""
    if "@" in (host := urlsplit(url).netloc):
        url = url.replace(host, host.rpartition("@")[2], 1)
    return url.partition("?")[0] if is_http(url) else url


def has_password(url: str) -> bool:
    """Whether an address contains a user's name or password."""
    return "@" in urlsplit(url).netloc


def write_failure(path: Path | str, error: OSError) -> BuildError:
    """The one-line error for a file that could not be written."""
    advice = {
        errno.ENOSPC: "the disk is full: free space",
        errno.EDQUOT: "the disk quota is used up: free space",
        errno.EFBIG: "the file size limit is reached: raise it (ulimit -f), or ask for more shards",
        errno.EACCES: "no permission to write there: choose another folder",
        errno.EPERM: "that is not allowed there: choose another folder",
        errno.EROFS: "the file system is read-only: choose another folder",
        errno.EEXIST: "a file is in the way: choose another folder",
        errno.ENOENT: "that folder does not exist: make it, or choose another",
    }.get(error.errno or 0, "mend that")
    return BuildError(f"cannot write {path}: {error.strerror or error}; {advice}, then run the same command again")
