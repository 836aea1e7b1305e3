"""A batch from its plan to its tables."""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, TypeVar

import gmmseg
from gmmseg._files import printable, write_text
from gmmseg.batch.drift import RULES, drift_rows
from gmmseg.batch.job import ImageJob, ImageTask
from gmmseg.batch.modes import MODES, Each, Labeller, Reference
from gmmseg.batch.options import BatchOptions
from gmmseg.batch.planning import BatchPlan, PlannedFile
from gmmseg.batch.record import RECORD_NAME, RunRecord, latest_entries
from gmmseg.batch.reference import RowsJob, of_one_kind, pooled_files, reference_key
from gmmseg.batch.resume import bases_in_use, digest, is_done, remove_temporary
from gmmseg.batch.settings import BatchSettings
from gmmseg.batch.source import ImageSource
from gmmseg.batch.tables import class_rows, csv_text, flat_drift
from gmmseg.batch.worker import EXISTS
from gmmseg.batch.workers import Outcome, WorkerPool
from gmmseg.errors import GmmsegError, OutputExistsError
from gmmseg.model import Model, load_model

__all__ = ["REFERENCE_NAME", "BatchResult", "Watcher", "run_batch"]

Entry = dict[str, Any]
Task = TypeVar("Task")

REFERENCE_NAME = "reference.gmm.json"

_AS_USUAL = BatchOptions()


class Watcher(Protocol):
    """Who wants to know how a batch goes."""

    def begin(self, what: str, n_files: int) -> None:
        """A stage begins."""

    def step(self) -> None:
        """A file is through this stage."""

    def done(self, entry: Mapping[str, Any]) -> None:
        """A file is through: its line of the record."""


class _Nobody:
    def begin(self, what: str, n_files: int) -> None: ...

    def step(self) -> None: ...

    def done(self, entry: Mapping[str, Any]) -> None: ...


@dataclass(frozen=True, kw_only=True)
class BatchResult:
    """What became of a batch.

    Attributes
    ----------
    entries : tuple of dict
        The line of the record for every input, in the order of the plan.
    drift : tuple of dict
        How each image fits the reference, where there is one: rows of `drift.drift_rows`.
    seconds : float
    """

    entries: tuple[Mapping[str, Any], ...]
    seconds: float
    drift: tuple[Mapping[str, Any], ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """How many files are ok, failed, skipped."""
        found = Counter(entry["status"] for entry in self.entries)
        return {status: found[status] for status in ("ok", "failed", "skipped")}

    @property
    def failed(self) -> tuple[Mapping[str, Any], ...]:
        """The lines of the files that failed."""
        return tuple(entry for entry in self.entries if entry["status"] == "failed")

    @property
    def flagged(self) -> tuple[Mapping[str, Any], ...]:
        """The rows of `drift` of the files that do not fit the reference."""
        return tuple(row for row in self.drift if row["flags"])


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
    InvalidDataError
        When no image can be read of which the reference would be made.
    """
    with RunRecord.opened(plan.output) as record:
        if record.entries and not (batch.resume or batch.overwrite):
            raise OutputExistsError(
                f"{printable(plan.output)} has the record of an earlier run ({RECORD_NAME}). Go "
                "on from it with resume= (--resume), or begin anew with overwrite= (--overwrite)."
            )
        remove_temporary(plan)
        try:
            return _Run(plan, settings, batch, record, watcher or _Nobody()).result()
        finally:
            remove_temporary(plan)  # of workers that died or were ended


@dataclass
class _Run:
    """One run, while its record is open."""

    plan: BatchPlan
    settings: BatchSettings
    batch: BatchOptions
    record: RunRecord
    watcher: Watcher
    started: float = field(default_factory=time.monotonic)

    def result(self) -> BatchResult:
        known = latest_entries(self.record.entries) if self.batch.resume else {}
        settings, origin, failed = self._with_reference()
        header = self._header(settings, origin)
        self.record.append(header)
        entries: dict[str, Entry] = {}
        try:
            for entry in self._entries(settings, header["settings"], known, failed):
                entries[entry["input"]] = entry
                self.watcher.done(entry)
            ordered = [entries[file.input] for file in self.plan.files]
            drift = self._write_tables(ordered)
        except BaseException:
            self._end(entries.values(), interrupted=True)
            raise
        return replace(self._end(ordered, interrupted=False), drift=tuple(drift))

    # --- the reference

    def _with_reference(
        self,
    ) -> tuple[BatchSettings, dict[str, Any] | None, dict[PlannedFile, Outcome]]:
        """The settings with the model to compare with, of what it was made, and what failed."""
        settings = self.settings
        failed: dict[PlannedFile, Outcome] = {}
        if not settings.has_reference:
            return settings, None, failed
        path = self.plan.output / REFERENCE_NAME
        if settings.model is not None:
            settings.model.save(path)
            return replace(settings, k=None), None, failed
        files = pooled_files(self.plan.files, MODES[settings.mode].most_pooled)
        origin = {"key": reference_key(files, settings.to_dict()), "files": len(files)}
        model = self._known_reference(path, origin)
        if model is None:
            model = self._made_reference(files, failed)
            model.save(path)
        return replace(settings, model=model, k=None), origin, failed

    def _known_reference(self, path: Path, origin: dict[str, Any]) -> Model | None:
        """The reference that the latest run has made of the same files, if it is still there."""
        headers = [entry for entry in self.record.entries if "record" in entry]
        if not headers or headers[-1].get("reference") != origin:
            return None
        try:
            return load_model(path)
        except GmmsegError:
            return None

    def _made_reference(
        self, files: Sequence[PlannedFile], failed: dict[PlannedFile, Outcome]
    ) -> Model:
        assert self.settings.k is not None  # noqa: S101 - the settings have seen to it
        job = RowsJob(
            source=self._source(),
            k=self.settings.k,
            options=self.settings.options,
            n_files=len(files),
        )
        self.watcher.begin("images read", len(files))
        parts: dict[PlannedFile, Outcome] = {}
        for file, outcome in self._worked(lambda threads: replace(job, threads=threads), files):
            (failed if outcome.failure else parts)[file] = outcome
            self.watcher.step()
        why = next((f"{file.input}: {outcome.error}" for file, outcome in failed.items()), "")
        found = [parts[file].value for file in files if file in parts]
        rows, options = of_one_kind(found, why)
        fit = MODES[self.settings.mode].fit
        return fit(rows, self.settings.k, options, threads=self.batch.threads)

    # --- the images

    def _entries(
        self,
        settings: BatchSettings,
        key: str,
        known: Mapping[str, Mapping[str, Any]],
        failed: Mapping[PlannedFile, Outcome],
    ) -> Iterator[Entry]:
        """The line of every file, which the record has got."""
        self.watcher.begin("images", len(self.plan.files))
        begun = self._first_began() if known else math.inf
        taken = frozenset() if self.batch.overwrite else bases_in_use(self.plan, begun)
        through: list[Entry] = []
        tasks = []
        for file in self.plan.files:
            before = known.get(file.input, {})
            foreign = before.get("kind") == EXISTS
            if is_done(file, before, key, self.plan.output):
                through.append({**before, "status": "skipped"})
            elif file in failed:
                through.append(_entry(file, key, failed[file]))
            elif file.base in taken and (foreign or not before):
                through.append(_entry(file, key, Outcome(failure=EXISTS, error=_taken(file))))
            else:  # what is there was left by a run that was killed
                tasks.append(ImageTask(file, self.batch.overwrite or bool(known and not foreign)))
        self.record.append(*through)
        yield from through
        for task, outcome in self._worked(lambda threads: self._job(settings, threads), tasks):
            entry = _entry(task.file, key, outcome)
            self.record.append(entry)
            yield entry

    def _first_began(self) -> float:
        """When the first run began: what is older is not the work of a batch."""
        for entry in self.record.entries:
            if "record" in entry:
                with suppress(ValueError):
                    return datetime.fromisoformat(str(entry.get("started"))).timestamp()
        return math.inf

    def _worked(
        self, job: Callable[[int], Callable[[Task], Any]], tasks: Sequence[Task]
    ) -> Iterator[tuple[Task, Outcome]]:
        """Every task with what became of it; `job` is told how many threads a worker has."""
        jobs, threads = self.batch.shared_out(len(tasks))
        with WorkerPool(
            job(threads),
            jobs,
            timeout=self.batch.timeout,
            memory_limit=self.batch.memory_limit,
        ) as pool:
            yield from pool.outcomes(tasks)

    def _source(self) -> ImageSource:
        given = self.settings
        return ImageSource(
            root=self.plan.root,
            reading=given.reading,
            mask=given.mask,
            spacing=given.spacing,
            stream=given.stream,
        )

    def _job(self, settings: BatchSettings, threads: int) -> ImageJob:
        return ImageJob(
            source=self._source(),
            output=self.plan.output,
            outputs=settings.outputs,
            labeller=_labeller(settings, threads),
            cog=settings.cog,
            strict=self.batch.strict,
            threads=threads,
        )

    # --- what is told

    def _header(self, settings: BatchSettings, origin: dict[str, Any] | None) -> Entry:
        options = settings.to_dict()
        return {
            "record": "gmmseg-run",
            "record_version": 1,
            "gmmseg": gmmseg.__version__,
            "started": _now(),
            "root": str(self.plan.root),
            "inputs": list(self.plan.words),
            "files": len(self.plan.files),
            "mode": settings.mode,
            "k": settings.k if settings.model is None else settings.model.k,
            "model": REFERENCE_NAME if settings.has_reference else None,
            "reference": origin,
            "settings": digest(options),
            "options": options,
        }

    def _write_tables(self, entries: Iterable[Entry]) -> list[dict[str, Any]]:
        folder = self.plan.output
        summaries = [_summary(folder, entry) for entry in entries if entry["status"] != "failed"]
        classes = csv_text(list(class_rows(summaries)))
        write_text(folder / "classes.csv", classes, overwrite=True)
        if not self.settings.has_reference:
            return []
        rows = drift_rows(summaries, self.settings.drift.max_drift)
        values = {"reference": REFERENCE_NAME, "rules": RULES, "files": rows}
        text = json.dumps(values, indent=1, allow_nan=False) + "\n"
        write_text(folder / "drift.json", text, overwrite=True)
        write_text(folder / "drift.csv", csv_text(list(flat_drift(rows))), overwrite=True)
        return rows

    def _end(self, entries: Iterable[Entry], *, interrupted: bool) -> BatchResult:
        found = BatchResult(entries=tuple(entries), seconds=time.monotonic() - self.started)
        end = {"ended": _now(), **found.counts, "seconds": round(found.seconds, 3)}
        self.record.append({**end, "interrupted": interrupted})
        return found


def _labeller(settings: BatchSettings, threads: int) -> Labeller:
    if settings.model is None:
        assert settings.k is not None  # noqa: S101 - the settings have seen to it
        return Each(k=settings.k, options=settings.options)
    return Reference(
        mode=settings.mode,
        model=settings.model,
        options=settings.options,
        drift=settings.drift,
        threads=threads,
    )


def _entry(file: PlannedFile, settings: str, outcome: Outcome) -> Entry:
    """The line of a file."""
    facts = {
        "input": file.input,
        "status": "failed" if outcome.failure else "ok",
        "size": file.size,
        "mtime_ns": file.mtime_ns,
        "settings": settings,
    }
    failure = {"kind": outcome.failure, "error": outcome.error}
    found = failure if outcome.failure else outcome.value
    return {**facts, **found, "seconds": round(outcome.seconds, 3)}


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
