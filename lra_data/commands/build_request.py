"""The request that `lra-data build` makes from its options, and the task to build."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from lra_data import catalogue
from lra_data.corpus import Corpus, Transfer, corpus_from_options
from lra_data.errors import UsageError, unknown_name
from lra_data.paths import local_path
from lra_data.splits import SPLITS
from lra_data.task import Task


@dataclasses.dataclass(frozen=True, kw_only=True)
class BuildRequest:
    """A request to `lra-data build`.

    preset: the preset's name, or None.
    selected: the values of the family's selectors; only without a preset.
    changes: single parameters that replace those of the preset or selectors.
    corpus: the corpus, for a task that converts one.
    release: the copy of the original release that `--from-release` names.

    part, finish: whether only a part is built, or a set is completed whose parts were built.

    The other fields are the arguments of `lra_data.build`.
    """

    family: str
    preset: str | None = None
    selected: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    changes: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    corpus: Corpus | None = None
    release: Corpus | None = None
    root: str
    formats: tuple[str, ...] = ("arrow",)
    seed: int = 0
    num_shards: int | None = None
    workers: int | None = None
    engine: str = "local"
    sizes: Mapping[str, int] = dataclasses.field(default_factory=dict)
    overwrite: bool = False
    part: str | None = None
    finish: bool = False

    def __post_init__(self) -> None:
        if self.part is not None and self.finish:
            raise UsageError("expected either --part or --finish, got both: finish after all parts")
        if self.overwrite and (self.part is not None or self.finish):
            raise UsageError(
                "expected no --overwrite with --part or --finish, which would remove the work of other parts: remove "
                "the folder first, or choose another --out"
            )

    def config(self) -> Any:
        """The configuration of the preset or selectors, with the changes applied."""
        family = catalogue.family(self.family)
        if self.preset is not None:
            if self.selected:
                raise UsageError(f"expected either --preset or --{next(iter(self.selected))}, got both: leave one out")
            if self.preset not in family.presets:
                raise unknown_name(f"{self.family} preset", self.preset, family.presets)
            config = family.presets[self.preset].config
        elif self.selected and family.select is not None:
            config = family.select(self.selected)
        else:
            config = next(iter(family.presets.values())).config
        return dataclasses.replace(config, **self.changes)

    def task(self, fetch: Transfer) -> Task:
        """The task to build; a corpus that is neither named nor cached is downloaded."""
        if self.release is not None:
            return self._released(self.release)
        task = catalogue.get_task(self.config())
        if not catalogue.family(self.family).corpus:
            return task
        return task.over(self.corpus or Corpus(), fetch=fetch)

    def _released(self, release: Corpus) -> Task:
        """The task that reads a copy of the original release; options that would change examples are refused."""
        refused = [*(["preset"] if self.preset is not None else []), *self.changes, *self.sizes]
        if self.seed:
            refused.append("seed")
        if refused:
            flag = refused[0].replace("_", "-")
            raise UsageError(f"expected no --{flag} with --from-release, which takes the copy as it is: leave it out")
        return catalogue.from_release(self.family, release, **self.selected)


def request_of(family: str, given: Mapping[str, Any]) -> BuildRequest:
    """The request for the command line's options by name; the value None means that the option was not given."""
    declared = catalogue.family(family)
    partial, folder = bool(given.get("allow_partial")), given.get("from_release")
    if partial and declared.reads_release and folder is None:
        raise UsageError("expected --allow-partial together with --from-release, got only --allow-partial")
    release = None
    if folder is not None:
        release = Corpus(local_path(folder, "a copy of the release"), allow_partial=partial)
    corpus = corpus_from_options(given["corpus"], given.get("pairs"), partial) if declared.corpus else None
    changes = {
        field.name: _values(field.name, field.default, given[field.name])
        if isinstance(field.default, tuple)
        else given[field.name]
        for field in dataclasses.fields(declared.config)
        if given.get(field.name) is not None
    }
    return BuildRequest(
        family=family,
        preset=given.get("preset"),
        selected={name: given[name] for name in declared.selectors if given.get(name) is not None},
        changes=changes,
        corpus=corpus,
        release=release,
        root=given["out"],
        formats=tuple(name for text in given["formats"] for name in text.split(",")) or ("arrow",),
        seed=given["seed"],
        num_shards=given["num_shards"],
        workers=given["workers"],
        engine=given["engine"],
        sizes={split: given[split] for split in SPLITS if given[split] is not None},
        overwrite=given["overwrite"],
        part=given["part"],
        finish=given["finish"],
    )


def _values(name: str, default: tuple[Any, ...], text: str) -> tuple[Any, ...]:
    """The values in `A,B,…`, each of the same type as the items of the field's default."""
    kind = type(default[0])
    try:
        return tuple(kind(item) for item in text.split(","))
    except ValueError as error:
        wanted = "integers" if kind is int else "numbers"
        raise UsageError(f"{name} must be {wanted} separated by commas, got {text!r}") from error
