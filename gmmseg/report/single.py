"""The report of one segmentation."""

from __future__ import annotations

import os
from pathlib import Path

from gmmseg.io import printable, replacing
from gmmseg.report.cards import facts_of_summary, pictured
from gmmseg.report.options import ReportOptions
from gmmseg.report.page import write_page
from gmmseg.report.settings import model_settings, versions
from gmmseg.segmentation import Segmentation

__all__ = ["write_image_report"]

_DEFAULT = ReportOptions()


def write_image_report(
    segmentation: Segmentation,
    path: str | os.PathLike[str],
    options: ReportOptions = _DEFAULT,
    *,
    overwrite: bool = False,
) -> None:
    """Write one HTML file about a segmentation: pictures, classes, charts, settings.

    Parameters
    ----------
    segmentation : Segmentation
    path : path
        The file, ending in .html.
    options : ReportOptions
    overwrite : bool
        Replace a file that exists.

    Raises
    ------
    OutputExistsError, WriteError
        When it cannot be written.

    Examples
    --------
    >>> import gmmseg, numpy as np, tempfile
    >>> seg = gmmseg.segment(np.arange(400, dtype=np.uint8).reshape(20, 20) % 50, k=2)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_image_report(seg, Path(folder, "report.html"))
    ...     Path(folder, "report.html").read_text(encoding="utf-8")[:15]
    '<!doctype html>'
    """
    source = segmentation.image.path
    name = "image" if source is None else Path(source).name
    facts = facts_of_summary(name, segmentation.to_dict())
    card = pictured(
        facts,
        segmentation.image,
        segmentation.labels,
        segmentation.entropy,
        segmentation.model,
        options.budget(1),
    )
    settings = [*model_settings(segmentation.model), *versions()]
    with replacing(path, overwrite=overwrite) as file:
        write_page(
            file,
            [card],
            title=printable(options.title or name),
            summary={"single": True, "subtitle": ""},
            settings=settings,
        )
