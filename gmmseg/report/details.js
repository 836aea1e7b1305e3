// All about one file: pictures, classes, charts, facts.

function classTable(file) {
  const head = ["class", "share", "pixels", ...(file.classes[0].area === null ? [] : ["area"]),
    ...file.bands];
  const rows = file.classes.map((row) => el("tr", {},
    el("th", { scope: "row", class: "words" },
      el("span", { class: "swatch", style: { background: colourOf(row.label) } }), String(row.label)),
    el("td", {}, percent(row.share),
      el("span", { class: "bar", style: { background: colourOf(row.label), width: `${100 * row.share}%` } })),
    el("td", {}, whole.format(row.pixels)),
    row.area === null ? null : el("td", {}, number(row.area)),
    row.mean.map((mean, band) => el("td", {},
      mean === null ? "" : `${number(mean)} ± ${number(row.std[band])}`))));
  return el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Classes" },
    el("table", { class: "classes", "aria-label": "Classes" },
      el("thead", {}, el("tr", {}, head.map((text, i) =>
        el("th", { scope: "col", class: i ? null : "words" }, text)))),
      el("tbody", {}, rows)));
}

function factList(file) {
  const facts = [
    ["Size", sizeOf(file)],
    ["Pixels used", `${whole.format(file.used)} of ${whole.format(file.used + file.unused)}`],
    ["Log-likelihood per pixel", number(file.score)],
    ["Mean uncertainty", decimals(file.entropy)],
    ["Iterations", number(file.iterations)],
    ["Time", file.seconds === undefined ? "" : duration(file.seconds)],
    ["Picture shows", file.display],
    ...Object.entries(file.drift).map(([key, value]) =>
      [key.replaceAll("_", " "), typeof value === "number" ? number(value) : String(value)]),
  ].filter(([, value]) => value);
  return el("dl", { class: "pairs" }, facts.map(([name, value]) =>
    [el("dt", {}, name), el("dd", { class: "number" }, value)]));
}

function links(file) {
  if (!file.links?.length) return null;
  return el("ul", { class: "links", "aria-label": "Files" }, file.links.map(({ name, href }) =>
    el("li", {}, el("a", { href, target: "_blank", rel: "noopener" }, name))));
}

function notes(file) {
  const shown = [
    ...remarks(file).map((text) => el("li", { class: file.status === "failed" ? "bad" : null }, text)),
    ...(file.notes ?? []).map((text) => el("li", { class: "plain" }, text)),
  ];
  return shown.length ? el("ul", { class: "notes" }, shown) : null;
}

const GAUSSIANS = {
  model: "Features of the fitted model; each class is a curve, their sum the dark line.",
  reference: "Features of the model of all files: curves and ellipses are theirs, the bars and dots of this one.",
  labels: "Bands of the image; curves and ellipses have the mean and spread of each class's pixels.",
};

function chartPanel(chart) {
  if (!chart) return null;
  return el("section", { class: "panel whole", "aria-label": "Distributions" },
    el("h3", {}, "Distributions"),
    el("p", { class: "muted small" }, GAUSSIANS[chart.of]),
    el("div", { class: "charts" },
      chart.histograms.map((_, i) => histogram(chart, i)), chart.pair ? ellipses(chart) : null));
}

/** The body of a page, or of the dialog, about one file. */
function detailBody(file, compare) {
  if (file.status === "failed") return el("div", { class: "details" }, el("div", { class: "whole" }, notes(file)));
  const { pictures, chart } = detailsOf(file);
  const picture = viewer(file, pictures, compare);
  return el("div", { class: "details" },
    picture ? el("section", { class: "panel", "aria-label": "Pictures" }, picture) : null,
    el("div", { class: "aside" },
      notes(file),
      el("section", { class: "panel", "aria-label": "Classes" }, el("h3", {}, "Classes"),
        el("p", { class: "muted small" }, "Mean ± standard deviation of each band"), classTable(file)),
      el("section", { class: "panel", "aria-label": "Facts" }, factList(file), links(file))),
    chartPanel(chart));
}

/** The dialog about one file, from which one gets to those before and after it in `order()`. */
function detailDialog(compare, order) {
  const dialog = document.getElementById("dialog");
  let current = null;
  const move = (by) => {
    const shown = order();
    const next = shown[shown.indexOf(current) + by];
    if (next) show(next);
  };
  function show(file) {
    current = file;
    const shown = order();
    const at = shown.indexOf(file);
    const step = (text, by) => {
      const button = el("button", { type: "button", onclick: () => {
        move(by);
        dialog.querySelector(`[data-step="${by}"]:enabled`)?.focus();
      }, "data-step": by }, text);
      button.disabled = !shown[at + by];
      return button;
    };
    dialog.replaceChildren(
      el("div", { class: "detail-head" },
        el("h2", { id: "dialog-title" }, el("bdi", {}, file.name)),
        file.status === "done" ? null : badge(file),
        el("span", { class: "place" }, at < 0 ? "" : `${at + 1} of ${shown.length}`),
        step("Previous", -1), step("Next", 1),
        el("button", { type: "button", onclick: () => dialog.close(), autofocus: true }, "Close")),
      detailBody(file, compare));
    if (!dialog.open) dialog.showModal();
    dialog.scrollTop = 0;
    if (!dialog.contains(document.activeElement)) dialog.focus(); // what had it has been replaced
  }
  dialog.addEventListener("keydown", (event) => {
    if (/^(INPUT|SELECT)$/.test(event.target.tagName)) return;
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (by) move(by);
  });
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close(); // beside it
  });
  dialog.addEventListener("close", () => dialog.replaceChildren());
  return show;
}
