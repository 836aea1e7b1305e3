// The page: theme, the whole at a glance, and what is shown of the files in which order.

const main = document.getElementById("main");
const done = files.filter((file) => file.status !== "failed");
const counted = (status) => files.filter((file) => file.status === status).length;

function startTheme() {
  const button = document.getElementById("theme");
  const names = { auto: "Theme: auto", light: "Theme: light", dark: "Theme: dark" };
  let theme = "auto";
  try {
    theme = localStorage.getItem("gmmseg-theme") ?? "auto";
  } catch {
    // a page from a file may not have a memory
  }
  const apply = () => {
    document.documentElement.dataset.theme = theme in names ? theme : "auto";
    button.textContent = names[theme] ?? names.auto;
  };
  button.addEventListener("click", () => {
    const order = Object.keys(names);
    theme = order[(order.indexOf(theme) + 1) % order.length];
    apply();
    try {
      localStorage.setItem("gmmseg-theme", theme);
    } catch {
      // then it is forgotten
    }
  });
  apply();
}

function tile(name, value, unit = "", kind = "") {
  return el("div", { class: `tile ${kind}` }, el("dt", {}, name),
    el("dd", {}, value, unit ? el("small", {}, ` ${unit}`) : null));
}

function glance() {
  const failed = counted("failed"), odd = counted("odd");
  const pixels = done.reduce((sum, file) => sum + file.used, 0);
  const large = pixels >= 1e6 ? [short.format(pixels / 1e6), "million"] : [whole.format(pixels), ""];
  return el("dl", { class: "tiles" },
    tile("Images", whole.format(files.length)),
    tile("Failed", whole.format(failed), "", failed ? "bad" : ""),
    tile("To look at", whole.format(odd), "", odd ? "odd" : ""),
    report.missing ? tile("Not done yet", whole.format(report.missing), "", "odd") : null,
    tile("Pixels", ...large),
    tile("Time", ...duration(report.seconds).split(" ")));
}

function failures(open) {
  const failed = files.filter((file) => file.status === "failed");
  if (failed.length === 0) return null;
  const most = 20;
  return el("section", { class: "panel" }, el("h2", {}, failed.length === 1 ? "One file failed" : `${failed.length} files failed`),
    el("ul", { class: "failures" }, failed.slice(0, most).map((file) => el("li", {},
      el("button", { type: "button", class: "link", onclick: () => open(file) }, el("bdi", {}, file.name)),
      el("span", {}, el("strong", {}, file.kind === "error" ? "" : `${file.kind}: `), file.error)))),
    failed.length > most ? el("p", { class: "muted small" }, `and ${failed.length - most} more, below`) : null);
}

function distribution(open) {
  if (done.length < 3) return null;
  return el("section", { class: "panel" }, el("h2", {}, "Shares of the classes"),
    el("div", { class: "scroll" }, shareStrips(done, open)));
}

function settings() {
  return el("section", { class: "panel" }, el("h2", {}, "Settings and versions"),
    el("dl", { class: "columns" }, report.settings.map(([name, value]) =>
      el("div", { class: "pair" }, el("dt", {}, name), el("dd", {}, value)))));
}

/** Search, filters, order, gallery or table. */
function browser(state, setOpen) {
  const known = columns();
  const count = el("p", { class: "count", role: "status" });
  let shown = [];
  const open = setOpen(() => shown);
  const views = { gallery: gallery(state, open), table: fileTable(known, state, sortBy, open) };
  const place = el("div", { id: "files" });
  const available = Object.keys(LAYERS).filter((name) => done.some((file) => file.layers.includes(name)));
  const compare = compareControls(state.compare, available, views.gallery.compared).controls;
  const order = choice("Sort by", Object.fromEntries(Object.entries(known).map(([key, { name }]) =>
    [key, key === "attention" ? "needs a look" : name])), state.sort, (key) => sortBy(key, false));
  function sortBy(key, turn = true) {
    state.descending = turn && state.sort === key ? !state.descending : false;
    state.sort = key;
    order.querySelector("select").value = key;
    update();
  }
  function update() {
    const wanted = state.search.toLowerCase();
    const kept = files.filter((file) => (state.status === "all" || file.status === state.status)
      && file.name.toLowerCase().includes(wanted));
    shown = sorted(kept, known[state.sort], state.descending);
    views[state.view].show(shown);
    place.replaceChildren(shown.length ? views[state.view].root
      : el("p", { class: "empty" }, "No file is like that."));
    compare.hidden = state.view === "table";
    count.textContent = `${whole.format(shown.length)} of ${whole.format(files.length)} files`;
  }
  const set = (key) => (value) => {
    state[key] = value;
    update();
  };
  const search = el("input", {
    type: "search", placeholder: "Find by name", "aria-label": "Find by name",
    oninput: () => set("search")(search.value),
  });
  const statuses = { all: "All" };
  for (const [status, name] of Object.entries(STATUS)) {
    if (counted(status)) statuses[status] = [name, el("b", {}, String(counted(status)))];
  }
  const toolbar = el("div", { class: "toolbar", role: "search", "aria-label": "Files to show" },
    search, segments("Files to show", statuses, "all", set("status")), order,
    segments("View", { gallery: "Gallery", table: "Table" }, state.view, set("view")),
    available.length > 1 ? compare : null);
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && !/^(INPUT|SELECT)$/.test(event.target.tagName)) {
      event.preventDefault();
      search.focus();
    }
  });
  update();
  return { open, node: el("section", { "aria-label": "Files" }, toolbar, count, place) };
}

function start() {
  startTheme();
  document.getElementById("subtitle").textContent = date(report.subtitle);
  const compare = { below: "image", above: "overlay", mode: "blend", mix: 60 };
  if (report.single) {
    main.append(detailBody(files[0], compare), settings());
    return;
  }
  const state = { search: "", status: "all", sort: "attention", descending: false, view: "gallery", compare };
  const { open, node } = browser(state, (order) => detailDialog(compare, order));
  main.append(...[glance(), failures(open), distribution(open), node, settings()].filter(Boolean));
}

start();
