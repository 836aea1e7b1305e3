"""Reports without a browser: what is in the page, that nothing gets out of its place, how large."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from report_folder import (
    BIDI,
    HOSTILE,
    N_SCANS,
    ODD,
    SCRIPT,
    read_record_lines,
    scan,
    write_folder,
    write_record,
)

import gmmseg
from gmmseg.errors import InvalidParameterError, MissingFileError, OutputExistsError, ReadError
from gmmseg.image import Image
from gmmseg.io import read_bytes
from gmmseg.report import ReportOptions, write_image_report, write_report
from gmmseg.report.cards import Card
from gmmseg.report.drift import drift_flags
from gmmseg.report.outliers import outlier_reasons
from gmmseg.report.page import embedded_json, write_page
from gmmseg.report.pictures import data_of_webp, layers_of


class Page(HTMLParser):
    """Elements of a page with their attributes, and the texts of styles, scripts and data."""

    def __init__(self, path):
        super().__init__()
        self.elements, self.texts, self.inside = [], {}, None
        self.feed(Path(path).read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self.inside = dict(attributes).get("id", tag)

    def handle_endtag(self, tag):
        self.inside = None

    def handle_data(self, text):
        self.texts[self.inside] = self.texts.get(self.inside, "") + text

    def data(self, name="report"):
        return json.loads(self.texts[name])

    @property
    def files(self):
        return {file["name"]: (i, file) for i, file in enumerate(self.data()["files"])}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("batch"))


@pytest.fixture(scope="module")
def page(folder):
    return Page(write_report(folder))


def test_the_page_tells_of_every_file(page):
    data = page.data()
    assert len(data["files"]) == N_SCANS + 5
    assert [file["name"] for file in data["files"] if file["status"] == "failed"] == ["broken.png"]
    assert data["missing"] == 1
    assert data["seconds"] == pytest.approx(0.25 * (N_SCANS + 4))
    number, file = page.files["a/scan 03.png"]
    assert (file["rows"], file["cols"], file["k"]) == (48, 64, 2)
    assert file["layers"] == ["image", "overlay", "uncertainty"]
    assert [row["share"] for row in file["classes"]] == pytest.approx([0.6, 0.4], abs=0.05)
    assert {"name": "labels", "href": "./a/scan%2003_labels.png"} in file["links"]
    details = page.data(f"details-{number}")
    assert set(details["pictures"]) == {"image", "overlay", "uncertainty"}
    assert details["chart"]["of"] == "model"
    settings = dict(data["settings"])
    assert (settings["em.tol"], settings["preset"]) == ("0.5", "plain")
    assert settings["version of gmmseg"] == gmmseg.__version__


def test_pictures_are_those_of_the_image(page):
    number, _ = page.files["a/scan 03.png"]
    kind, content = page.data(f"details-{number}")["pictures"]["image"].split(",")
    assert kind == "data:image/webp;base64"
    shown = read_bytes(base64.b64decode(content), "image").data.astype(float)
    assert np.abs(shown - scan(3)).mean() < 12  # WebP keeps less of noise


def test_nothing_leaves_its_place(folder, page):
    """Names stand in data alone; no element, attribute or address that the template has not."""
    allowed = {
        "html", "head", "meta", "title", "style", "body", "a", "header", "div", "p", "h1", "bdi",
        "button", "noscript", "main", "dialog", "script",
    }  # fmt: skip
    assert {tag for tag, _ in page.elements} == allowed
    for tag, attributes in page.elements:
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)
        assert "src" not in attributes
        assert attributes.get("href", "#main") == "#main"
    executed = [a for tag, a in page.elements if tag == "script" and "type" not in a]
    assert executed == [{}]
    assert {HOSTILE, SCRIPT} < set(page.files)
    assert "\u202e" not in (folder / "report.html").read_text(encoding="utf-8")
    assert BIDI.replace("\u202e", r"\u202e") in page.files


def test_the_policy_knows_style_and_script_by_their_hashes(page):
    (policy,) = (a["content"] for _, a in page.elements if a.get("http-equiv"))
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data:"
    for name in ("style", "script"):
        digest = hashlib.sha256(page.texts[name].encode()).digest()
        assert rules[f"{name}-src"] == f"'sha256-{base64.b64encode(digest).decode()}'"
    source = page.texts["script"]
    for word in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "http:",
    ):
        assert word not in source.replace("http://www.w3.org/2000/svg", "")


def test_titles_are_escaped(folder, tmp_path):
    title = "</title><script>alert(3)</script> & $style \x1b[2J"
    write_report(folder, tmp_path / "r.html", ReportOptions(title=title))
    page = Page(tmp_path / "r.html")
    assert [a for tag, a in page.elements if tag == "script" and "type" not in a] == [{}]
    assert page.data()["title"] == title.replace("\x1b", r"\x1b")
    assert embedded_json(["</script>", "\u2028"]) == '["\\u003c/script\\u003e","\\u2028"]'


def test_what_is_odd_is_said(page):
    reasons = {name: file["reasons"] for name, (_, file) in page.files.items()}
    assert any("covers 9" in reason for reason in reasons[ODD])
    assert reasons["a/scan 03.png"] == []


def facts(i, **changes):
    rows = [{"label": 1, "share": 0.3 + 0.001 * i}, {"label": 2, "share": 0.7 - 0.001 * i}]
    return {"status": "done", "k": 2, "classes": rows, "score": -9.0, "entropy": 0.1} | changes


def test_outliers_by_the_median():
    files = [facts(i) for i in range(20)]
    assert outlier_reasons(files) == [[]] * 20
    files[3] = facts(3, entropy=0.9)
    files[4] = facts(4, k=3)
    files[5] = {"status": "failed"}
    reasons = outlier_reasons(files)
    assert reasons[3] == ["uncertainty 0.90, usually 0.10"]
    assert reasons[4] == ["3 classes, usually 2"]
    assert sum(map(len, reasons)) == 2
    assert outlier_reasons([facts(0), facts(1, score=9.0)]) == [[], []]


def test_flags_of_the_drift_table(tmp_path):
    path = tmp_path / "drift.json"
    rows = [{"input": "a", "flags": ["novel", "new"]}, {"input": 3}, "x", {"input": "b"}]
    path.write_text(json.dumps({"files": rows}), encoding="utf-8")
    assert drift_flags(path) == {"a": ["many pixels are like no class of the reference"], "b": []}
    path.write_text("[", encoding="utf-8")
    assert drift_flags(path) == drift_flags(tmp_path / "none") == {}


def test_without_models_and_uncertainty(tmp_path):
    page = Page(write_report(write_folder(tmp_path, entropy=False, model=False)))
    number, file = page.files["a/scan 03.png"]
    assert file["layers"] == ["image", "overlay"]
    chart = page.data(f"details-{number}")["chart"]
    assert (chart["of"], chart["labels"]) == ("labels", [1, 2])
    assert chart["histograms"][0]["mean"] == pytest.approx([60, 190], abs=3)
    assert chart["histograms"][0]["std"] == pytest.approx([14, 14], abs=2)
    assert len(chart["pair"]["ellipses"]) == 2


def test_a_batch_with_a_reference(tmp_path):
    out = write_folder(tmp_path, entropy=False, model=False)
    model = gmmseg.fit([scan(i) for i in range(3)], 2)
    model.save(out / "reference.gmm.json")
    header, *lines = read_record_lines(out)
    write_record(out, [{**header, "model": "reference.gmm.json"}, *lines])
    flagged = [{"input": "a/scan 03.png", "flags": ["unlikely"]}]
    (out / "drift.json").write_text(json.dumps({"files": flagged}), encoding="utf-8")
    page = Page(write_report(out))
    number, file = page.files["a/scan 03.png"]
    assert file["layers"] == ["image", "overlay", "uncertainty"]
    assert file["reasons"] == ["unlikely under the reference model"]
    chart = page.data(f"details-{number}")["chart"]
    assert (chart["of"], chart["weights"]) == (
        "reference",
        pytest.approx(model.mixture.weights, rel=1e-3),
    )


def test_a_folder_that_was_moved(tmp_path):
    out = write_folder(tmp_path)
    Path(tmp_path, "in").rename(tmp_path / "elsewhere")
    _, file = Page(write_report(out)).files["a/scan 03.png"]
    assert file["layers"] == ["overlay", "uncertainty"]
    assert "the input cannot be shown" in file["notes"][0]
    page = Page(write_report(out, images=tmp_path / "elsewhere", overwrite=True))
    assert "image" in page.files["a/scan 03.png"][1]["layers"]


def test_inputs_that_have_changed(tmp_path):
    out = write_folder(tmp_path)
    gmmseg.io.write_png(tmp_path / "in/a/scan 03.png", scan(0, shape=(5, 5)), overwrite=True)
    _, file = Page(write_report(out)).files["a/scan 03.png"]
    assert file["notes"] == ["the input has changed: it is of another shape"]


@pytest.mark.parametrize(
    "outputs",
    [
        {"labels": "../../in/a/scan 03.png", "json": "a/scan 03_summary.json"},
        {"labels": "/etc/passwd", "json": "a/scan 03_summary.json"},
        {"labels": "a/scan 03_labels.png", "json": "a/scan 03_labels.png"},
        {"labels": "a/scan 03_labels.png"},
        {"labels": 5, "json": None},
        [],
        None,
    ],
)
def test_records_that_lie(folder, tmp_path, outputs):
    header, *_ = read_record_lines(folder)
    copy = tmp_path / "out"
    (copy / "a").mkdir(parents=True)
    for path in folder.glob("a/scan 03*"):
        (copy / "a" / path.name).write_bytes(path.read_bytes())
    write_record(copy, [header, {"input": "a/scan 03.png", "status": "ok", "outputs": outputs}])
    page = Page(write_report(copy))
    _, file = page.files["a/scan 03.png"]
    assert file["status"] == "failed"
    assert file["error"].startswith("its outputs cannot be shown: ")


def test_inputs_outside_of_their_folder_are_not_shown(folder, tmp_path):
    header, *lines = read_record_lines(folder)
    line = next(entry for entry in lines if entry["input"] == "a/scan 03.png")
    up = {**line, "input": "a/../../in/a/scan 03.png"}
    copy = folder.parent / "copy"
    copy.mkdir()
    (copy / "a").symlink_to(folder / "a")
    write_record(copy, [header, up])
    ((_, file),) = Page(write_report(copy)).files.values()
    assert file["notes"] == ["the input lies outside of the folder of inputs"]


@pytest.mark.parametrize("content", ["", "[]\n", '{"input": "a"}\n', "\x00\xff"])
def test_what_is_no_record(tmp_path, content):
    with pytest.raises(MissingFileError, match=r"no gmmseg_run\.jsonl in .*: gmmseg batch"):
        write_report(tmp_path)
    (tmp_path / "gmmseg_run.jsonl").write_text(content, encoding="latin-1")
    with pytest.raises(ReadError, match="is not the record of a batch"):
        write_report(tmp_path)


def test_hostile_headers(folder, tmp_path):
    header = {"record": "gmmseg-run", "root": 3, "files": "many", "options": [], "model": ["x"]}
    write_record(tmp_path, [header])
    assert Page(write_report(tmp_path)).data()["files"] == []
    write_record(tmp_path, [{**header, "options": {"reading": {"axes": "ABC"}, "segment": 4}}])
    write_report(tmp_path, overwrite=True)


def test_command(folder, tmp_path, run):
    done = run("report", folder, "-o", tmp_path / "r.html", "--title", "June", "--picture-side", 32)
    assert (done.status, done.out) == (0, "")
    assert re.fullmatch(r".*r\.html \(0\.\d MB\)", done.err.splitlines()[-1])
    page = Page(tmp_path / "r.html")
    assert page.data()["title"] == "June"
    assert page.files["a/scan 03.png"][1]["width"] == 32
    again = run("report", folder, "-o", tmp_path / "r.html")
    assert (again.status, "exists already" in again.err) == (1, True)
    missing = run("report", tmp_path / "none")
    assert (missing.status, len(missing.err.splitlines())) == (1, 1)


def test_segment_with_a_report(tmp_path, run):
    name = HOSTILE.replace(">.", "&.")
    gmmseg.io.write_png(tmp_path / name, scan(1))
    done = run("segment", tmp_path / name, "-k", 2, "--report", "-o", tmp_path / "out/")
    assert done.status == 0
    page = Page(next((tmp_path / "out").glob("*_report.html")))
    data = page.data()
    assert (data["single"], data["title"], data["files"][0]["name"]) == (True, name, name)
    assert page.data("details-0")["chart"]["of"] == "model"
    clash = run("segment", tmp_path / name, "-k", 2, "--report", "-o", "-")
    assert (clash.status, "and nothing else" in clash.err) == (2, True)
    again = run("segment", tmp_path / name, "-k", 2, "--report", "-o", tmp_path / "out/")
    assert (again.status, "exists already" in again.err) == (1, True)


def test_reports_of_all_kinds_of_images(tmp_path):
    rng = np.random.default_rng(0)
    gaps = rng.normal(5, 1, (30, 40, 5)).astype(np.float32)
    gaps[:10, :10, 1] = np.nan
    gaps[20:] += 4
    volume = rng.integers(0, 200, (4, 20, 30)).astype(np.uint16)
    masked = Image.from_array(scan(0), mask=np.arange(64) < 60 + np.zeros((48, 1)), spacing=2)
    for i, image in enumerate((gaps, Image.from_array(volume, axes="ZYX"), masked)):
        seg = gmmseg.segment(image, 2, axes="YXC" if i == 0 else None)
        write_image_report(seg, tmp_path / f"{i}.html")
        page = Page(tmp_path / f"{i}.html")
        (file,) = page.data()["files"]
        assert file["layers"] == ["image", "overlay", "uncertainty"]
        assert page.data("details-0")["chart"]["histograms"]
    with pytest.raises(OutputExistsError, match=r"0\.html exists already"):
        write_image_report(seg, tmp_path / "0.html")


def test_one_band_and_one_value(tmp_path):
    seg = gmmseg.segment(np.full((9, 9), 7, np.uint8), 1)
    write_image_report(seg, tmp_path / "r.html")
    chart = Page(tmp_path / "r.html").data("details-0")["chart"]
    assert "pair" not in chart
    assert np.isfinite(chart["histograms"][0]["bars"]).all()


def test_large_reports_keep_to_their_size(tmp_path):
    """The worst pictures there are: noise, which nothing compresses."""
    rng = np.random.default_rng(0)
    options, n = ReportOptions(most_bytes=1_000_000), 20
    budget = options.budget(n)
    noise = Image.from_array(rng.integers(0, 256, (400, 500, 3)).astype(np.uint8))
    labels = rng.integers(1, 4, (400, 500)).astype(np.uint8)
    layers = layers_of(noise, labels, rng.random((400, 500)), 3, budget.side)
    pictures = {name: data_of_webp(layer, budget) for name, layer in layers.items()}
    card = Card(facts(0, layers=list(layers), name="noise"), {"pictures": pictures})
    with (tmp_path / "r.html").open("wb") as file:
        write_page(file, [card] * n, title="noise", summary={}, settings=[])
    assert 100_000 < (tmp_path / "r.html").stat().st_size < options.most_bytes
    assert ReportOptions().budget(1000).side > 250


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"side": 3}, "side must be at least 16, got 3"),
        ({"most_bytes": 10}, "most_bytes must be at least 1000000, got 10"),
    ],
)
def test_options(options, message):
    with pytest.raises(InvalidParameterError, match=message):
        ReportOptions(**options)
