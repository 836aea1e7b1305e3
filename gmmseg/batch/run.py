"""A batch from its plan to its tables."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, is_dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import gmmseg
from gmmseg._files import printable, write_text
from gmmseg.batch.job import ImageJob, ImageSource, ImageTask
from gmmseg.batch.modes import Each, Labeller
from gmmseg.batch.options import BatchOptions
from gmmseg.batch.planning import BatchPlan, PlannedFile
from gmmseg.batch.record import RECORD_NAME, RunRecord, latest_entries
from gmmseg.batch.resume import bases_in_use, digest, is_done, remove_temporary
from gmmseg.batch.tables import class_rows, csv_text
from gmmseg.batch.workers import Outcome, WorkerPool
from gmmseg.errors import OutputExistsError
from gmmseg.io import ReadOptions
from gmmseg.outputs import OutputOptions

__all__ = ["BatchResult", "BatchSettings", "Watcher", "run_batch"]

Entry = dict[str, Any]

#: The failure of a file whose outputs are not the work of a batch: they are never replaced.
_EXISTS = "exists"

_AS_USUAL = BatchOptions()


@dataclass(frozen=True, kw_only=True)
class BatchSettings:
    """All that the outputs of a batch depend on besides its inputs.

    Attributes
    ----------
    k : int or "auto"
        Number of classes.
    options : callable
        From an image to its `SegmentOptions`; `presets.ChangedPreset` is one.
    outputs : OutputOptions
        What is written besides label maps and summaries.
    reading : ReadOptions
    mask : path, optional
        An image that says which pixels of every image are used.
    spacing : sequence of float, optional
        Size of a pixel along each axis, or one for all.
    """

    k: int | str
    options: Any
    outputs: OutputOptions = OutputOptions()
    reading: ReadOptions = ReadOptions()
    mask: Path | None = None
    spacing: Sequence[float] | None = None

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return _plain(
            {
                "segment": self.options,
                "outputs": self.outputs,
                "reading": self.reading,
                "mask": self.mask,
                "spacing": self.spacing,
            }
        )


def _plain(value: Any) -> Any:
    """Options as JSON says them."""
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else str(value)
    return str(value)


class Watcher(Protocol):
    """Who wants to know how a batch goes."""

    def begin(self, what: str, n_files: int) -> None:
        """A stage begins."""

    def done(self, entry: Mapping[str, Any]) -> None:
        """A file is through: its line of the record."""


@dataclass(frozen=True, kw_only=True)
class BatchResult:
    """What became of a batch.

    Attributes
    ----------
    entries : tuple of dict
        The line of the record for every input, in the order of the plan.
    seconds : float
    tables : tuple of Path
        The tables that were written.
    """

    entries: tuple[Mapping[str, Any], ...]
    seconds: float
    tables: tuple[Path, ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """How many files are ok, failed, skipped."""
        found = Counter(entry["status"] for entry in self.entries)
        return {status: found[status] for status in ("ok", "failed", "skipped")}

    @property
    def failed(self) -> tuple[Mapping[str, Any], ...]:
        """The lines of the files that failed."""
        return tuple(entry for entry in self.entries if entry["status"] == "failed")


def run_batch(
    plan: BatchPlan,
    settings: BatchSettings,
    batch: BatchOptions = _AS_USUAL,
    watcher: Watcher | None = None,
) -> BatchResult:
    """Segment all images of a plan in several processes.

    A script that calls this needs ``if __name__ == "__main__":`` around what it does, as always
    where processes are started.

    Parameters
    ----------
    plan : BatchPlan
        Of `plan_batch`.
    settings : BatchSettings
        What is done with every image.
    batch : BatchOptions
        How: processes, limits, what becomes of earlier runs.
    watcher : Watcher, optional
        Is told how it goes.

    Returns
    -------
    BatchResult
        Images that failed are in it; they raise nothing.

    Raises
    ------
    OutputExistsError
        When there is a run record and neither `resume` nor `overwrite` was asked for.
    WriteError
        When another run is at work in the folder, or the record cannot be written.
    """
    with RunRecord.opened(plan.output) as record:
        if record.entries and not (batch.resume or batch.overwrite):
            raise OutputExistsError(
                f"{printable(plan.output)} has the record of an earlier run ({RECORD_NAME}). Go "
                "on from it with resume= (--resume), or begin anew with overwrite= (--overwrite)."
            )
        remove_temporary(plan)
        return _Run(plan, settings, batch, record, watcher).result()


@dataclass
class _Run:
    """One run, while its record is open."""

    plan: BatchPlan
    settings: BatchSettings
    batch: BatchOptions
    record: RunRecord
    watcher: Watcher | None
    started: float = field(default_factory=time.monotonic)

    def result(self) -> BatchResult:
        labeller = Each(k=self.settings.k, options=self.settings.options)
        header = self._header()
        self.record.append(header)
        known = latest_entries(self.record.entries) if self.batch.resume else {}
        entries: dict[str, Entry] = {}
        try:
            for entry in self._entries(labeller, known, header["settings"]):
                entries[entry["input"]] = entry
            result = self._finished(entries)
        except BaseException:
            remove_temporary(self.plan)
            self._end(entries.values(), interrupted=True)
            raise
        self._end(entries.values(), interrupted=False)
        return result

    def _header(self) -> Entry:
        options = self.settings.to_dict()
        values = {
            "gmmseg": gmmseg.__version__,
            "mode": "each",
            "k": self.settings.k,
            "model": None,
            "options": options,
        }
        mask = self.settings.mask
        content = None if mask is None else digest(mask.read_bytes().hex())
        return {
            "record": "gmmseg-run",
            "record_version": 1,
            "started": _now(),
            "root": str(self.plan.root),
            "inputs": list(self.plan.words),
            "files": len(self.plan.files),
            "settings": digest([values, content]),
            **values,
        }

    def _entries(
        self, labeller: Labeller, known: Mapping[str, Mapping[str, Any]], settings: str
    ) -> Iterator[Entry]:
        """The line of every file, which the record has got."""
        self._begin("images", len(self.plan.files))
        done, in_use, tasks = [], [], []
        taken = frozenset() if known or self.batch.overwrite else bases_in_use(self.plan)
        for file in self.plan.files:
            entry = known.get(file.input)
            if entry is not None and is_done(file, entry, settings, self.plan.output):
                done.append({**entry, "status": "skipped"})
            elif file.base in taken:
                in_use.append(_failed(file, settings, _EXISTS, _taken(file)))
            else:
                protected = entry is not None and entry.get("kind") == _EXISTS
                tasks.append(ImageTask(file, self.batch.overwrite or bool(known and not protected)))
        if done or in_use:
            self.record.append(*done, *in_use)
        for entry in [*done, *in_use]:
            yield self._told(entry)
        yield from self._worked(labeller, tasks, settings)

    def _worked(
        self, labeller: Labeller, tasks: Sequence[ImageTask], settings: str
    ) -> Iterator[Entry]:
        jobs, threads = self.batch.shared_out(len(tasks))
        given = self.settings
        job = ImageJob(
            source=ImageSource(
                root=self.plan.root, reading=given.reading, mask=given.mask, spacing=given.spacing
            ),
            output=self.plan.output,
            outputs=given.outputs,
            labeller=replace(labeller, threads=threads),  # type: ignore[type-var]
            strict=self.batch.strict,
        )
        limits = {"timeout": self.batch.timeout, "memory_limit": self.batch.memory_limit}
        with WorkerPool(job, jobs, threads=threads, **limits) as pool:  # type: ignore[arg-type]
            for task, outcome in pool.outcomes(tasks):
                entry = _entry(task.file, settings, outcome)
                self.record.append(entry)
                yield self._told(entry)

    def _finished(self, entries: Mapping[str, Entry]) -> BatchResult:
        ordered = tuple(entries[file.input] for file in self.plan.files)
        remove_temporary(self.plan)  # of workers that died
        summaries = [_summary(self.plan.output, e) for e in ordered if e["status"] != "failed"]
        tables = []
        if summaries:
            tables.append(self.plan.output / "classes.csv")
            write_text(tables[0], csv_text(list(class_rows(summaries))), overwrite=True)
        return BatchResult(
            entries=ordered, seconds=time.monotonic() - self.started, tables=tuple(tables)
        )

    def _end(self, entries: Iterable[Entry], *, interrupted: bool) -> None:
        found = BatchResult(entries=tuple(entries), seconds=time.monotonic() - self.started)
        end = {"ended": _now(), **found.counts, "seconds": round(found.seconds, 3)}
        self.record.append({**end, "interrupted": interrupted})

    def _begin(self, what: str, n_files: int) -> None:
        if self.watcher is not None:
            self.watcher.begin(what, n_files)

    def _told(self, entry: Entry) -> Entry:
        if self.watcher is not None:
            self.watcher.done(entry)
        return entry


def _entry(file: PlannedFile, settings: str, outcome: Outcome) -> Entry:
    """The line of a file that a worker had."""
    if outcome.failure is not None:
        return _failed(file, settings, outcome.failure, outcome.error, outcome.seconds)
    facts = _facts(file, "ok", settings)
    return {**facts, **outcome.value, "seconds": round(outcome.seconds, 3)}


def _failed(file: PlannedFile, settings: str, kind: str, error: str, seconds: float = 0.0) -> Entry:
    facts = _facts(file, "failed", settings)
    return {**facts, "kind": kind, "error": error, "seconds": round(seconds, 3)}


def _facts(file: PlannedFile, status: str, settings: str) -> Entry:
    return {
        "input": file.input,
        "status": status,
        "size": file.size,
        "mtime_ns": file.mtime_ns,
        "settings": settings,
    }


def _taken(file: PlannedFile) -> str:
    return (
        f"outputs named {printable(file.base)}_... exist already. Replace them with overwrite= "
        "(--overwrite)."
    )


def _summary(output: Path, entry: Entry) -> dict[str, Any]:
    text = (output / entry["outputs"]["json"]).read_text(encoding="utf-8")
    summary: dict[str, Any] = json.loads(text)
    return summary


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
