"""A page to look at: one self-contained HTML file for an image, or for a folder of a batch.

Begin at `folder.py` and `single.py`: from files, or a segmentation, to a page. A `Card` is what a
page shows of one file; `page.py` puts cards into `page.html` with `page.css` and the scripts
beside it.
"""

from gmmseg.report.folder import write_report
from gmmseg.report.options import ReportOptions
from gmmseg.report.single import write_image_report

__all__ = ["ReportOptions", "write_image_report", "write_report"]
