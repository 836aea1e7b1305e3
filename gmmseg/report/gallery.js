// A card for each file. Pictures are put in when their card comes near the window, and out when
// it has gone far away.

function shareBar(file) {
  const said = file.classes.map((row) => `class ${row.label} ${percent(row.share)}`).join(", ");
  return el("span", { class: "shares", role: "img", "aria-label": `Shares: ${said}` },
    file.classes.map((row) => el("i", {
      title: `class ${row.label}: ${percent(row.share)}`,
      style: { background: colourOf(row.label), flex: `${row.share} 1 0` },
    })));
}

function cardOf(file, open) {
  const name = el("span", { class: "name", title: file.name }, el("bdi", {}, file.name));
  const button = (...children) => el("button", {
    type: "button", class: "open", "aria-label": `Open ${file.name}, ${STATUS[file.status]}`,
    onclick: () => open(file),
  }, ...children);
  if (file.status === "failed") {
    return { node: el("li", { class: "card failed" }, button(el("span", { class: "stack" }, file.error)),
      el("div", { class: "facts" }, name, el("div", { class: "row" }, badge(file)))) };
  }
  const pictures = stack(file);
  const why = remarks(file);
  const node = el("li", { class: `card ${file.status}` }, button(pictures.node),
    el("div", { class: "facts" }, name, shareBar(file),
      el("div", { class: "row" }, el("span", {}, sizeOf(file)), file.status === "odd" ? badge(file)
        : el("span", { class: "number" }, duration(file.seconds ?? 0))),
      why.length ? el("p", { class: "why" }, why[0] + (why.length > 1 ? `, and ${why.length - 1} more` : "")) : null));
  return { node, pictures };
}

function gallery(state, open) {
  const root = el("ul", { class: "gallery", "aria-label": "Images" });
  const cards = new Map();
  const near = new Set();
  const put = (file) => cards.get(file).pictures?.show(detailsOf(file).pictures, state.compare);
  const watcher = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      const file = files[target.dataset.index];
      if (isIntersecting === near.has(file)) continue;
      if (isIntersecting) near.add(file), put(file);
      else near.delete(file), cards.get(file).pictures?.clear();
    }
  }, { rootMargin: "900px" });
  const of = (file) => {
    if (!cards.has(file)) {
      const card = cardOf(file, open);
      card.node.dataset.index = file.index;
      cards.set(file, card);
      watcher.observe(card.node);
    }
    return cards.get(file).node;
  };
  const compared = (key) => {
    root.classList.toggle("wiping", state.compare.mode === "wipe");
    root.style.setProperty("--mix", state.compare.mix);
    if (key === "above" || key === "below") near.forEach(put);
  };
  compared("all");
  return { root, compared, show: (shown) => root.replaceChildren(...shown.map(of)) };
}
