// Charts as inline SVG: histograms with densities, two features with ellipses, shares of all files.

const WIDTH = 340, HEIGHT = 250, BELOW = 24;

function ticks(low, high, most) {
  const rough = (high - low) / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough);
  const found = [];
  for (let at = Math.ceil(low / step) * step; at <= high; at += step) {
    found.push(Number(at.toPrecision(6)));
  }
  return found;
}

function path(points) {
  return points.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
}

const density = (x, mean, std) =>
  Math.exp(-0.5 * ((x - mean) / std) ** 2) / (std * Math.sqrt(2 * Math.PI));

/** Pixels as grey bars, each class as a filled curve, their sum as a line. */
function histogram(chart, which) {
  const { name, low, step, bars, mean, std } = chart.histograms[which];
  const high = low + step * bars.length;
  const top = 1.12 * Math.max(...bars);
  const toX = (x) => ((x - low) / (high - low)) * WIDTH;
  const toY = (y) => HEIGHT * (1 - Math.min(y / top, 1));
  const xs = Array.from({ length: 191 }, (_, i) => low + ((high - low) * i) / 190);
  const width = (std_) => Math.max(std_, step / 3); // a class narrower than a bar is a bar
  const classes = new Map();
  chart.labels.forEach((label, j) => {
    const own = classes.get(label) ?? xs.map(() => 0);
    xs.forEach((x, i) => (own[i] += chart.weights[j] * density(x, mean[j], width(std[j]))));
    classes.set(label, own);
  });
  const sum = xs.map((_, i) => [...classes.values()].reduce((total, own) => total + own[i], 0));
  const steps = bars.flatMap((bar, i) => [
    [toX(low + i * step), toY(bar)], [toX(low + (i + 1) * step), toY(bar)],
  ]);
  const curves = [...classes].map(([label, own]) => svg("path", {
    class: "curve", fill: colourOf(label), stroke: colourOf(label),
    d: `${path(xs.map((x, i) => [toX(x), toY(own[i])]))}L${WIDTH} ${HEIGHT}L0 ${HEIGHT}Z`,
  }));
  const axis = ticks(low, high, 6).map((at) => svg("text",
    { x: toX(at), y: HEIGHT + 16, "text-anchor": "middle" }, number(at)));
  const said = `Histogram of ${name} with the densities of ${classes.size} classes`;
  return el("figure", {}, el("figcaption", {}, name),
    svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT + BELOW}`, role: "img", "aria-label": said },
      svg("path", { class: "bars", d: `M0 ${HEIGHT}${path(steps).replace("M", "L")}L${WIDTH} ${HEIGHT}Z` }),
      curves,
      svg("path", { class: "sum", d: path(xs.map((x, i) => [toX(x), toY(sum[i])])) }),
      svg("path", { class: "axis", d: `M0 ${HEIGHT + 0.5}H${WIDTH}` }), axis));
}

/** The first two features: pixels as a picture, and the ellipses that hold 50 % and 90 %. */
function ellipses(chart) {
  const { x, y, picture, ellipses: found } = chart.pair;
  const side = 300, left = 34;
  const rings = found.flatMap((ellipse, j) => {
    const centre = [left + ellipse.x * side, (1 - ellipse.y) * side];
    return ellipse.radii.flatMap(([long, wide], i) => ["halo", i ? "ring outer" : "ring"].map(
      (kind) => svg("ellipse", {
        class: kind, cx: centre[0], cy: centre[1], rx: long * side, ry: wide * side,
        stroke: kind === "halo" ? null : colourOf(chart.labels[j]),
        transform: `rotate(${-ellipse.angle} ${centre[0]} ${centre[1]})`,
      })));
  });
  const marks = found.map((ellipse, j) => svg("text", {
    class: "mark", x: left + ellipse.x * side, y: (1 - ellipse.y) * side + 5, "text-anchor": "middle",
  }, String(chart.labels[j])));
  const along = ticks(x.low, x.high, 5).map((at) => svg("text", {
    x: left + ((at - x.low) / (x.high - x.low)) * side, y: side + 16, "text-anchor": "middle",
  }, number(at)));
  const up = ticks(y.low, y.high, 5).map((at) => svg("text", {
    x: left - 6, y: (1 - (at - y.low) / (y.high - y.low)) * side + 4, "text-anchor": "end",
  }, number(at)));
  const clip = `clip-${Math.random()}`;
  const said = `${x.name} against ${y.name}: ellipses of ${found.length} Gaussians`;
  return el("figure", {}, el("figcaption", {}, `${y.name} over ${x.name}; ellipses hold 50 % and 90 %`),
    svg("svg", { viewBox: `0 0 ${left + side + 4} ${side + BELOW}`, role: "img", "aria-label": said },
      svg("clipPath", { id: clip }, svg("rect", { x: left, y: 0, width: side, height: side })),
      svg("image", { href: picture, x: left, y: 0, width: side, height: side, preserveAspectRatio: "none" }),
      svg("g", { "clip-path": `url(#${clip})` }, rings, marks),
      svg("path", { class: "axis", d: `M${left} 0V${side}H${left + side}` }), along, up));
}

/** A dot for each file at the share of each class; those to look at are rings. */
function shareStrips(done, open) {
  const most = Math.max(...done.map((file) => file.k));
  const line = 34, left = 70, width = 900;
  const opacity = Math.max(0.15, 0.6 - done.length / 2500);
  const labels = Array.from({ length: Math.min(most, 12) }, (_, j) => j + 1);
  const dots = labels.flatMap((label) => done.map((file) => {
    const row = file.classes[label - 1];
    if (!row) return null;
    const jitter = (((file.index * 0.618034) % 1) - 0.5) * 16;
    const odd = file.status === "odd";
    const dot = svg("circle", {
      cx: left + row.share * width, cy: line * (label - 0.5) + jitter, r: odd ? 4 : 3,
      fill: odd ? "var(--surface)" : colourOf(label), "fill-opacity": odd ? 1 : opacity,
      stroke: colourOf(label), "stroke-width": odd ? 2 : 0, onclick: () => open(file),
    }, svg("title", {}, `${file.name}: class ${label}, ${percent(row.share)}`));
    return dot;
  }));
  const bottom = line * labels.length;
  const grid = [0, 0.25, 0.5, 0.75, 1].map((share) => [
    svg("path", { class: "axis", "stroke-opacity": 0.5, d: `M${left + share * width} 0V${bottom}` }),
    svg("text", { x: left + share * width, y: bottom + 16, "text-anchor": "middle" }, `${100 * share} %`),
  ]);
  const names = labels.map((label) => svg("text", { x: 0, y: line * (label - 0.5) + 4 }, `class ${label}`));
  const said = "Share of each class in every file; the table has the numbers";
  return svg("svg", { class: "strips", viewBox: `0 -4 ${left + width + 24} ${bottom + BELOW}`, role: "img", "aria-label": said },
    grid, names, dots);
}
