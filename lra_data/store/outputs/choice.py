"""The output for a place that the user names: a folder or an address."""

from pathlib import Path

from lra_data.errors import UsageError
from lra_data.paths import has_password, is_address, is_http, join_address, local_path, shown_address
from lra_data.store.outputs.folder import FolderOutput
from lra_data.store.outputs.object_store import StoreOutput
from lra_data.store.outputs.output import Output
from lra_data.task import Task


def set_place(root: Path | str, task: Task) -> Path | str:
    """ROOT/<task>/<preset or custom-hash>: a path, relative if `root` is, or an address."""
    if isinstance(root, str) and is_address(root):
        return join_address(_writable(root), f"{task.family}/{task.variant}")
    folder = local_path(root, "a folder for the set")
    try:
        str(folder).encode()
    except UnicodeEncodeError as error:  # Arrow cannot open it
        raise UsageError(f"expected a folder whose name is UTF-8, got {str(root)!r}: choose another --out") from error
    return folder / task.family / task.variant


def output_of_set(where: Path | str) -> Output:
    """The output with the set at a path or address that a user named; raises UsageError for another kind of address."""
    if isinstance(where, str) and is_address(where):
        return output_at(_writable(where))
    return output_at(local_path(where, "the folder of a built set"))


def output_at(place: Path | str) -> Output:
    """The output at a path or an address."""
    # The current folder may change during the build.
    return StoreOutput(place) if isinstance(place, str) else FolderOutput(place.absolute())


def _writable(address: str) -> str:
    """The address, if it may name an output."""
    if is_http(address) or "::" in address:
        raise UsageError(
            f"expected a folder or an address that can be written, such as s3://bucket/data, got "
            f"{shown_address(address)}: name another"
        )
    if has_password(address):
        raise UsageError(
            f"expected an address without a password, got one for {shown_address(address)}: give credentials by the "
            "environment of each machine, such as AWS_ACCESS_KEY_ID"
        )
    return address
