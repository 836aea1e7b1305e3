// Elements out of names, attributes and children. Text is only ever put in as text.

const SVG = "http://www.w3.org/2000/svg";

function build(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "style") for (const key in value) node.style.setProperty(key, value[key]);
    else if (name === "value") node.value = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(2).filter((child) => child !== null && child !== undefined));
  return node;
}

const el = (name, attributes = {}, ...children) =>
  build(document.createElement(name), attributes, children);
const svg = (name, attributes = {}, ...children) =>
  build(document.createElementNS(SVG, name), attributes, children);

const report = JSON.parse(document.getElementById("report").textContent);
const files = report.files.map((file, index) => ({ ...file, index, status: statusOf(file) }));

function statusOf(file) {
  if (file.status === "failed") return "failed";
  return file.reasons.length > 0 || file.warnings.length > 0 || !file.converged ? "odd" : "done";
}

const STATUS = { failed: "Failed", odd: "To look at", done: "Done" };
const LAYERS = { image: "Image", overlay: "Classes", uncertainty: "Uncertainty" };

/** Pictures and charts of a file, read when they are asked for. */
function detailsOf(file) {
  const block = document.getElementById(`details-${file.index}`);
  return block ? JSON.parse(block.textContent) : { pictures: {} };
}

const colourOf = (label) => report.colours[label - 1] ?? "#888888";

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { maximumSignificantDigits: 4 });
const percent = (share) =>
  share > 0 && share < 0.001 ? "< 0.1 %" : `${(100 * share).toFixed(1)} %`;
const date = (text) => text.replace(/^(\d{4}-\d\d-\d\d)T(\d\d:\d\d).*Z$/, "$1, $2 UTC");
function number(value) {
  if (value === null || value === undefined) return "";
  const tiny = value !== 0 && Math.abs(value) < 1e-4;
  return (tiny ? value.toExponential(2) : short.format(value)).replaceAll("-", "−");
}
const decimals = (value) => (value === null || value === undefined ? "" : value.toFixed(3));

function duration(seconds) {
  if (seconds < 60) return `${short.format(Number(seconds.toFixed(2)))} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 120 ? `${minutes} min` : `${short.format(minutes / 60)} h`;
}

function sizeOf(file) {
  const sides = file.planes ? [file.planes, file.rows, file.cols] : [file.rows, file.cols];
  return sides.join(" × ");
}

function badge(file) {
  return el("span", { class: `badge ${file.status}` }, STATUS[file.status]);
}

/** What is odd about a file, in words. */
function remarks(file) {
  if (file.status === "failed") return [file.error];
  const unfinished = file.converged ? [] : ["EM did not converge"];
  return [...file.reasons, ...unfinished, ...file.warnings];
}

/** Radio buttons that look like one switch. */
function segments(legend, choices, chosen, choose) {
  const name = `segments-${legend}-${Math.random()}`;
  const options = Object.entries(choices).map(([value, label]) => {
    const input = el("input", { type: "radio", name, value, onchange: () => choose(value) });
    input.checked = value === chosen;
    return el("label", {}, input, el("span", {}, label));
  });
  return el("fieldset", {}, el("legend", { class: "hidden" }, legend),
    el("div", { class: "segments" }, options));
}

function choice(label, choices, chosen, choose) {
  const options = Object.entries(choices).map(([value, text]) => el("option", { value }, text));
  const select = el("select", { onchange: () => choose(select.value) }, options);
  select.value = chosen;
  return el("label", { class: "field" }, label, select);
}
