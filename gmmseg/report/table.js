// The same files as a table that is sorted by its heads.

/** What files can be sorted by: {name, of: file => value, shown: file => text}. */
function columns() {
  const done = files.filter((file) => file.status !== "failed");
  const most = Math.max(0, ...done.map((file) => file.k));
  const rank = { failed: 0, odd: 1, done: 2 };
  const numeric = (name, key, shown = number) =>
    ({ name, of: (file) => file[key] ?? null, shown: (file) => shown(file[key]) });
  const shares = Array.from({ length: most <= 8 ? most : 0 }, (_, j) => ({
    name: `class ${j + 1}`, label: j + 1, of: (file) => file.classes?.[j]?.share ?? null,
    shown: (file) => (file.classes?.[j] ? percent(file.classes[j].share) : ""),
  }));
  const found = {
    attention: { name: "status", of: (file) => rank[file.status], words: true },
    name: { name: "file", of: (file) => file.name, words: true },
    pixels: {
      name: "size", of: (file) => (file.rows ? file.rows * file.cols * (file.planes ?? 1) : null),
      shown: (file) => (file.rows ? sizeOf(file) : ""),
    },
    k: numeric("classes", "k"),
  };
  shares.forEach((share) => (found[`share-${share.label}`] = share));
  const novel = {
    name: "novel", of: (file) => file.drift?.novelty_share ?? null,
    shown: (file) => (file.drift?.novelty_share === undefined ? "" : percent(file.drift.novelty_share)),
  };
  return {
    ...found,
    entropy: numeric("uncertainty", "entropy", decimals),
    ...(done.some((file) => "novelty_share" in file.drift) ? { novelty: novel } : {}),
    score: numeric("log-likelihood", "score"),
    iterations: numeric("iterations", "iterations"),
    seconds: numeric("seconds", "seconds"),
  };
}

function compareValues(a, b) {
  if (a === null || b === null) return (a === null) - (b === null); // what is not known comes last
  if (typeof a === "string") return a.localeCompare(b, "en", { numeric: true });
  return a - b;
}

function sorted(shown, column, descending) {
  const turn = descending ? -1 : 1;
  return shown
    .map((file) => [column.of(file), file])
    .sort(([a, x], [b, y]) => {
      const order = compareValues(a, b);
      return (a === null || b === null ? order : turn * order)
        || compareValues(x.name, y.name);
    })
    .map(([, file]) => file);
}

function fileTable(known, state, sort, open) {
  const heads = Object.entries(known).map(([key, column]) => {
    const button = el("button", { type: "button", onclick: () => sort(key) },
      column.label ? el("span", { class: "swatch", style: { background: colourOf(column.label) } }) : null,
      column.name);
    return [key, el("th", { scope: "col", class: column.words ? "words" : null }, button)];
  });
  const body = el("tbody");
  const cells = {
    attention: (file) => el("td", { class: "words" }, badge(file)),
    name: (file) => el("th", { scope: "row", class: "words" }, el("button", {
      type: "button", class: "link", title: file.name, onclick: () => open(file),
    }, el("bdi", {}, file.name))),
  };
  const rows = new Map();
  const rowOf = (file) => {
    if (!rows.has(file)) {
      rows.set(file, el("tr", {},
        Object.entries(known).map(([key, column]) => cells[key]?.(file) ?? el("td", {}, column.shown(file))),
        el("td", { class: "words long" }, remarks(file).join("; "))));
    }
    return rows.get(file);
  };
  const root = el("div", { class: "scroll panel tall", tabindex: 0, role: "region", "aria-label": "Table of files" },
    el("table", {}, el("caption", { class: "hidden" }, "Files; heads sort"),
      el("thead", {}, el("tr", {}, heads.map(([, head]) => head),
        el("th", { scope: "col", class: "words" }, "remarks"))),
      body));
  const show = (shown) => {
    for (const [key, head] of heads) {
      if (key === state.sort) head.setAttribute("aria-sort", state.descending ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    }
    body.replaceChildren(...shown.map(rowOf));
  };
  return { root, show };
}
