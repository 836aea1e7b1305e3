// Two layers of a picture, one upon the other: mixed, or one wiped over the other.

/** Controls that change `state` {below, above, mode, mix}, and tell `changed` which key it was. */
function compareControls(state, available, changed) {
  const layers = Object.fromEntries(available.map((name) => [name, LAYERS[name]]));
  const set = (key) => (value) => {
    state[key] = value;
    describe();
    changed(key);
  };
  const slider = el("input", {
    type: "range", min: 0, max: 100, step: 1, value: state.mix,
    oninput: () => set("mix")(Number(slider.value)),
  });
  const output = el("output", { class: "number" });
  const caption = el("span", {});
  function describe() {
    caption.textContent = state.mode === "wipe" ? "Wipe" : "Opacity";
    output.textContent = `${state.mix} %`;
    const what = state.mode === "wipe" ? "Position of the wipe" : "Opacity";
    slider.setAttribute("aria-label", `${what}: ${LAYERS[state.above]} over ${LAYERS[state.below]}`);
    slider.value = state.mix;
  }
  describe();
  const controls = el("div", { class: "compare", role: "group", "aria-label": "Compare pictures" },
    choice("Show", layers, state.above, set("above")),
    choice("over", layers, state.below, set("below")),
    segments("How to compare", { blend: "Blend", wipe: "Wipe" }, state.mode, set("mode")),
    el("label", { class: "slide" }, caption, slider, output));
  return { controls, slider, describe };
}

/** The two layers; `show` puts pictures in. */
function stack(file) {
  const image = () => el("img", { alt: "", decoding: "async", draggable: "false" });
  const [below, above] = [image(), image()];
  above.classList.add("above");
  const small = Math.max(file.width ?? 0, file.height ?? 0) < 200;
  const node = el("span", { class: small ? "stack pixels" : "stack" },
    below, above, el("span", { class: "edge" }));
  const put = (img, address) => {
    if (address) img.src = address;
    else img.removeAttribute("src");
    img.hidden = !address;
  };
  const show = (pictures, state) => {
    put(below, pictures[state.below] ?? pictures.image ?? pictures.overlay);
    put(above, pictures[state.above]);
  };
  const clear = () => show({}, {});
  return { node, below, above, show, clear };
}

/** A large picture with its own controls; dragging over it moves the wipe. */
function viewer(file, pictures, shared) {
  const available = Object.keys(LAYERS).filter((name) => name in pictures);
  if (available.length === 0) return null;
  const fitting = (name, other) => (available.includes(name) ? name : other);
  const state = {
    ...shared, above: fitting(shared.above, available.at(-1)), below: fitting(shared.below, available[0]),
  };
  const { node, below, above, show } = stack(file);
  node.style.setProperty("aspect-ratio", `${file.width} / ${file.height}`);
  below.alt = `${file.name}: ${LAYERS[state.below]}`;
  const scale = el("p", { class: "scale" }, "sure", el("i", {}), "no idea");
  const apply = (key) => {
    root.classList.toggle("wiping", state.mode === "wipe");
    root.style.setProperty("--mix", state.mix);
    if (key !== "mix" && key !== "mode") show(pictures, state);
    above.alt = `${file.name}: ${LAYERS[state.above]}`;
    scale.hidden = ![state.above, state.below].includes("uncertainty");
  };
  const { controls, describe } = compareControls(state, available, apply);
  const root = el("div", { class: "viewer" }, node, scale, controls);
  const drag = (event) => {
    if (state.mode !== "wipe" || (event.type === "pointermove" && event.buttons === 0)) return;
    const box = node.getBoundingClientRect();
    state.mix = Math.round(Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1) * 100);
    describe();
    apply("mix");
  };
  node.addEventListener("pointerdown", drag);
  node.addEventListener("pointermove", drag);
  apply("all");
  return root;
}
