"""Execute the notebooks under docs/ anew, and keep what they print and draw in them.

    python scripts/run_notebooks.py [docs/photo.ipynb ...]

Needs nbclient and ipykernel. The tests run the same cells without Jupyter.
"""

from __future__ import annotations

import argparse
import base64
import io
from pathlib import Path

ROOT = Path(__file__).parents[1]


def shrink(data: dict[str, str]) -> None:
    """A drawn picture as JPEG: a tenth of the size in the repository."""
    from PIL import Image

    if "image/png" in data:
        picture = Image.open(io.BytesIO(base64.b64decode(data.pop("image/png")))).convert("RGB")
        small = io.BytesIO()
        picture.save(small, "JPEG", quality=80)
        data["image/jpeg"] = base64.b64encode(small.getvalue()).decode()


def run(path: Path) -> None:
    """Execute all cells of a notebook in the folder of the repository."""
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(ROOT)}}).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # times: they would change with every run
        for output in cell.get("outputs", []):
            shrink(output.get("data", {}))
    nbformat.write(notebook, path)
    print(f"{path}: {sum(cell.cell_type == 'code' for cell in notebook.cells)} cells")


def main() -> None:
    """Run those that were named, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("notebooks", nargs="*", type=Path)
    for path in parser.parse_args().notebooks or sorted((ROOT / "docs").glob("*.ipynb")):
        run(path)


if __name__ == "__main__":
    main()
