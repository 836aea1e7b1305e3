"""A folder as gmmseg batch writes it, for the tests of reports."""

import json
from pathlib import Path

import numpy as np

import gmmseg
from gmmseg.io import write_png
from gmmseg.outputs import OutputOptions, planned_outputs, write_outputs

HOSTILE = '"><img src=x onerror=alert(1)>.png'
SCRIPT = "<script>alert(2)<_script>.png"
BIDI = "a\u202egnp.exe.png"
ODD = "b/odd.png"
N_SCANS = 12


def scan(seed, share=0.4, shape=(48, 64)):
    """Dark and bright, and a bright part of so large a share."""
    rng = np.random.default_rng(seed)
    bright = np.arange(shape[1]) < share * shape[1]
    values = np.where(bright, 190, 60)[None, :, None] + rng.normal(0, 14, (*shape, 3))
    return values.clip(0, 255).astype(np.uint8)


def write_folder(path, *, entropy=True, model=True):
    """Inputs in ``in``, outputs and record in ``out``; 15 files are done, one has failed."""
    inputs, out = Path(path, "in"), Path(path, "out")
    pictures = {f"a/scan {i:02d}.png": scan(i) for i in range(N_SCANS)}
    pictures |= {HOSTILE: scan(50), SCRIPT: scan(51), BIDI: scan(52), ODD: scan(53, share=0.9)}
    lines = [
        {"record": "gmmseg-run", "record_version": 1, "started": "2026-11-22T21:15:00Z",
         "root": str(inputs), "inputs": ["in"], "files": len(pictures) + 2, "mode": "each", "k": 2,
         "model": None, "options": {"segment": {"preset": "plain", "changes": {"em": {"tol": 0.5}}},
                                    "outputs": {"overlay": True}, "reading": {}}},
    ]  # fmt: skip
    options = OutputOptions(entropy=entropy, overlay=False, save_model=model)
    for name, picture in pictures.items():
        source = inputs / name
        source.parent.mkdir(parents=True, exist_ok=True)
        write_png(source, picture)
        seg = gmmseg.segment(source, 2, "plain")
        plan = planned_outputs(out / Path(name).with_suffix(""), 2, options)
        write_outputs(seg, plan)
        plan["json"] = Path(f"{out / Path(name).with_suffix('')}_summary.json")
        plan["json"].write_text(json.dumps(seg.to_dict()), encoding="utf-8")
        outputs = {kind: file.relative_to(out).as_posix() for kind, file in plan.items()}
        lines.append({"input": name, "status": "ok", "outputs": outputs, "seconds": 0.25})
    failed = {"input": "broken.png", "status": "failed", "kind": "crash", "error": "it <died>"}
    write_record(out, [*lines, failed])
    return out


def write_record(out, lines):
    text = "".join(json.dumps(line) + "\n" for line in lines)
    Path(out, "gmmseg_run.jsonl").write_text(text, encoding="utf-8")


def read_record_lines(out):
    text = Path(out, "gmmseg_run.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]
