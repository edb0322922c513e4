"use strict";
/* The atlas of a study. Data comes as scripts under data/ that call atlas.receive: unlike fetch, this
   also works from a file. Maps are 8-bit sprites; colours are put on them here, so that another level
   or scale needs no further file. */

// ---------------------------------------------------------------------------------------- data

const atlas = {
  received: new Map(),
  receive(key, value) { this.received.set(key, value); },
};
const loading = new Map();

/** The value of data/KEY.js; a promise that fails where there is no such file. */
function load(key) {
  if (!loading.has(key)) loading.set(key, script(`data/${key}.js`).then(() => atlas.received.get(key)));
  return loading.get(key);
}

const libraries = () => load.libraries ??= script("vendor/d3.min.js").then(() => script("vendor/plot.umd.min.js"));

function script(source) {
  return new Promise((done, fail) => {
    const node = document.createElement("script");
    node.src = source.split("/").map(encodeURIComponent).join("/");
    node.onload = () => { node.remove(); done(); };
    node.onerror = () => fail(new Error(`${source} is missing: copy the whole folder of the atlas, or make it again`));
    document.head.append(node);
  });
}

/** The bytes of a sprite [rows * height, columns * width], decoded once. */
async function decode(sprite) {
  if (sprite.bytes) return sprite;
  const image = new Image();
  image.src = sprite.source;
  await image.decode();
  const canvas = Object.assign(document.createElement("canvas"), {width: image.width, height: image.height});
  const context = canvas.getContext("2d", {willReadFrequently: true});
  context.drawImage(image, 0, 0);
  const pixels = context.getImageData(0, 0, image.width, image.height).data;
  // The three colours of a grey picture are the same; a loop is many times faster than filter.
  sprite.bytes = new Uint8Array(pixels.length / 4);
  for (let place = 0; place < sprite.bytes.length; place++) sprite.bytes[place] = pixels[4 * place];
  sprite.stride = image.width;
  return sprite;
}

/** A short address of a sprite's picture for style sheets: its data would be copied for every use. */
function address(sprite) {
  if (!sprite.address) {
    const [head, data] = sprite.source.split(",");
    const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
    sprite.address = URL.createObjectURL(new Blob([bytes], {type: head.slice(5, -7)}));
  }
  return sprite.address;
}

// --------------------------------------------------------------------------------------- state

let study, network, dataset, overview, chunk, pictures, playing = 0, turn = 0;
const state = {};
const $ = (selector) => document.querySelector(selector);

/** An element with properties, attributes (aria-, data-, role, style) and children. */
function el(tag, given = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(given)) {
    if (name in node && name !== "style") node[name] = value; else node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

function svg(tag, attributes, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

function options(select, values, chosen) {
  select.replaceChildren(...values.map(([value, text]) => el("option", {value, selected: String(value) === String(chosen)}, text)));
}

const number = (value, digits = 2) => value === null || value === undefined ? "–" : value.toFixed(digits).replace("-", "−");
const percent = (share) => share === null ? "–" : `${share >= 0.0995 ? (100 * share).toFixed(0) : (100 * share).toPrecision(2)}%`;

/** What people read in place of a configured name; `column` is that of the tables. */
const called = (column, name) => study.labels[column]?.[name] ?? name;

function readHash() {
  const given = new URLSearchParams(location.hash.slice(1));
  for (const [key, value] of given) state[key] = value;
  state.network = Math.max(0, Number(state.network) || 0);
  if (state.level !== undefined) state.level = Math.max(0, Number(state.level) || 0);
}

function writeHash() {
  const kept = ["view", "network", "pruner", "seed", "condition", "explainer", "metric", "image", "level", "compare",
    "scale", "show", "label", "tag", "order", "method", "class"];
  const found = new URLSearchParams(kept.filter((key) => state[key] !== undefined && state[key] !== "").map((key) => [key, state[key]]));
  history.replaceState(null, "", `#${found}`);
}

/** The value if it is one of the allowed ones, else the first of them. */
const oneOf = (value, allowed) => allowed.find((one) => String(one) === String(value)) ?? allowed[0];

/** Make the choices fit to each other: a link may come from another study. */
function settle() {
  state.view = oneOf(state.view, ["images", "scatter", "concepts"]);
  state.network = Math.min(state.network, study.networks.length - 1);
  network = study.networks[state.network];
  dataset = study.datasets[network.dataset];
  const pruning = Object.keys(network.floors);
  state.pruner = oneOf(state.pruner, [...pruning, ...network.pruners.filter((name) => !pruning.includes(name)), "dense"]);
  state.seed = oneOf(state.seed, network.seeds);
  state.condition = oneOf(state.condition, network.conditions);
  state.explainer = oneOf(state.explainer, network.explainers.map((one) => one.name));
  state.metric = oneOf(state.metric, Object.keys(study.agreement));
  if (state.level !== undefined) state.level = Math.min(state.level, chain().length - 1);
  state.scale = oneOf(state.scale, ["own", "shared"]);
  state.image = oneOf(Number(state.image), dataset.image_ids);
}

/** Positions of the checkpoints of a pruner, dense first. */
function chain(pruner = state.pruner) {
  return network.checkpoints.flatMap((one, place) => one.level === 0 || one.pruner === pruner ? [place] : []);
}
const facts = (place, seed = state.seed) => network.checkpoints[place].seeds[seed];
const accuracy = (place, seed = state.seed) => facts(place, seed).accuracy[state.condition] ?? null;
const here = () => chain()[state.level];
const row = () => dataset.image_ids.indexOf(state.image);
const explainerFacts = (name = state.explainer) => network.explainers.find((one) => one.name === name);

/** How much of the weights a checkpoint has, or the bits of each where pruning rounds them. */
function leftOf(place) {
  const {density, bits} = facts(place);
  return bits < 32 ? `${percent(density)}, ${bits} bits` : percent(density);
}

// ------------------------------------------------------------------- what images tell over levels

/** Agreement of an image with the dense network at a checkpoint; null where there is none. */
const agreed = (image, place, name = state.explainer) => overview.agreement[name]?.[state.metric]?.at[place]?.[image] ?? null;

/** The floor [low, high] of an image's agreement; null where nothing was only retrained. */
function agreementFloor(image) {
  const floor = overview.agreement[state.explainer]?.[state.metric]?.floor[network.floors[state.pruner]];
  return floor && floor[0][image] !== null ? [floor[0][image], floor[1][image]] : null;
}

/** First level whose prediction is not the dense network's; 0 where it never flips. */
function flip(image) {
  const places = chain();
  const found = places.findIndex((place) => overview.predicted[place][image] !== overview.predicted[0][image]);
  return Math.max(found, 0);
}

const lower = () => study.agreement[state.metric]?.direction !== "lower";
/** 1 minus agreement, or a distance as it is; null where there is no value. */
function drift(image, place) {
  const value = agreed(image, place);
  return value === null ? null : lower() ? 1 - value : value;
}

/** The largest drift over some levels: {level, drift}; null where none has a value. */
function largestDrift(image, levels) {
  let found = null;
  for (const level of levels) {
    const value = drift(image, chain()[level]);
    if (value !== null && (found === null || value > found.drift)) found = {level, drift: value};
  }
  return found;
}

/** Where an explanation left its floor before the prediction flips: {level, drift, flip}, or null. */
function movedFirst(image) {
  const end = flip(image);
  if (end < 2) return null;
  const floor = agreementFloor(image);
  const outside = [...Array(end).keys()].slice(1).filter((level) => {
    const value = agreed(image, chain()[level]);
    return value !== null && (!floor || (lower() ? value < floor[0] : value > floor[1]));
  });
  const found = largestDrift(image, outside);
  return found && {...found, flip: end};
}

const all = () => dataset.image_ids.map((_, image) => image);

function chosenImages() {
  const level = /^flips at (\d+)$/.exec(state.show)?.[1];
  const kept = all().filter((image) => {
    const end = flip(image);
    if (state.show === "moved first" && !movedFirst(image)) return false;
    if (state.show === "flips" && !end) return false;
    if (state.show === "never flips" && end) return false;
    if (level && end !== Number(level)) return false;
    if (state.label !== "" && dataset.labels[image] !== Number(state.label)) return false;
    return state.tag === "" || dataset.concepts[image].includes(Number(state.tag));
  });
  const levels = [...chain().keys()].slice(1);
  const keys = {
    drift: (image) => largestDrift(image, levels)?.drift,
    now: (image) => drift(image, chain()[state.level ?? 0]),
    before: (image) => (flip(image) ? largestDrift(image, levels.filter((one) => one < flip(image)))?.drift : undefined),
  };
  const key = keys[state.order];
  if (!key) return kept;
  const values = new Map(kept.map((image) => [image, key(image) ?? -Infinity]));
  return kept.sort((a, b) => values.get(b) - values.get(a) || a - b);
}

// ------------------------------------------------------------------------------------- choices

function fillChoices() {
  const form = $("#networks");
  options(form.network, study.networks.map((one, place) => [place, `${called("model", one.model)} on ${called("dataset", one.dataset)}`]), state.network);
  options(form.pruner, (network.pruners.length ? network.pruners : ["dense"]).map((name) => [name, called("pruner", name)]), state.pruner);
  options(form.seed, network.seeds.map((seed) => [seed, seed]), state.seed);
  options(form.condition, network.conditions.map((name) => [name, name]), state.condition);
  options(form.explainer, network.explainers.map((one) => [one.name, called("explainer", one.name)]), state.explainer);
  options(form.metric, Object.keys(study.agreement).map((name) => [name, called("metric", name)]), state.metric);
  form.condition.closest("label").hidden = network.conditions.length < 2;
  form.metric.closest("label").hidden = !Object.keys(study.agreement).length;
  $("[data-view=concepts]").hidden = !study.networks.some((one) => Object.keys(one.concepts).length);

  const first = all().filter((image) => movedFirst(image)).length;
  const last = chain().length - 1;
  state.show ??= first ? "moved first" : "all";
  state.order ??= "before";
  state.label ??= "";
  state.tag ??= "";
  const filters = $("#filters");
  options(filters.show, [
    ["all", "all images"], ["moved first", `explanation moved before its prediction flipped (${first})`],
    ["flips", "prediction flips"], ...Array.from({length: last}, (_, k) => [`flips at ${k + 1}`, `prediction flips at level ${k + 1}`]),
    ["never flips", "prediction never flips"],
  ], state.show);
  options(filters.label, [["", "all"], ...dataset.classes.map((name, place) => [place, name])], state.label);
  options(filters.tag, [["", "all"], ...dataset.concept_names.map((name, place) => [place, name])], state.tag);
  $("#tag-filter").hidden = !dataset.concept_names.length;
  options(filters.order, [["before", "largest drift before a flip"], ["drift", "largest drift of this explainer"],
    ["now", "drift at this level"], ["number", "as evaluated"]], state.order);

  const compared = [["dense", "the dense network"]];
  for (const name of network.pruners.filter((one) => one !== state.pruner)) {
    compared.push([`density ${name}`, `${called("pruner", name)} at equal density`], [`accuracy ${name}`, `${called("pruner", name)} at equal accuracy`]);
  }
  state.compare = oneOf(state.compare, compared.map(([value]) => value));
  options($("#compare"), compared, state.compare);
  $("#scale").value = state.scale;
  const slider = $("#level");
  slider.max = last;
  slider.disabled = $("#play").disabled = !last;
}

// --------------------------------------------------------------------------------------- finder

function showThumbnails() {
  const images = chosenImages();
  const box = $("#thumbnails");
  const sheet = pictures.thumbnails;
  const size = 54 / Math.max(sheet.width, sheet.height);
  box.style.setProperty("--sheet", `url(${address(sheet)})`);
  box.replaceChildren(...images.map((image) => {
    const end = flip(image);
    const left = (image % sheet.columns) * sheet.width, top = Math.floor(image / sheet.columns) * sheet.height;
    const label = `image ${dataset.image_ids[image]}, class ${dataset.classes[dataset.labels[image]]}` +
      (end ? `, flips at level ${end}` : ", never flips");
    return el("button", {type: "button", className: "thumbnail", role: "option", title: label, "aria-label": label,
      "data-image": dataset.image_ids[image], tabIndex: -1},
    el("i", {style: `width:${sheet.width}px;height:${sheet.height}px;background-position:-${left}px -${top}px;transform:scale(${size})`}),
    end ? el("b", {}, `↷${end}`) : null);
  }));
  const shown = state.show === "moved first"
    ? agreementFloor(0) || all().some(agreementFloor)
      ? `Their ${called("explainer", state.explainer)} map left the range of retrained networks while the prediction was still that of the dense network.`
      : "Their prediction flips at level 2 or later; nothing was only retrained, so there is no floor to leave."
    : "";
  const more = dataset.explained > dataset.image_ids.length ? ` (${dataset.explained} were explained; the first are shown)` : "";
  $("#count").textContent = `${images.length} of ${dataset.image_ids.length} images${more}. ↷k: flips at level k. ${shown}`;
  if (state.fresh && images.length) state.image = dataset.image_ids[images[0]];
  state.fresh = false;
  markThumbnail(false);
}

function markThumbnail(follow = true) {
  let marked = null;
  for (const node of $("#thumbnails").children) {
    const own = Number(node.dataset.image) === state.image;
    node.setAttribute("aria-selected", own);
    node.tabIndex = own ? 0 : -1;
    if (own) marked = node;
  }
  if (!marked && $("#thumbnails").firstChild) $("#thumbnails").firstChild.tabIndex = 0;
  if (follow) marked?.scrollIntoView({block: "nearest"});
}

function stepImage(by) {
  const nodes = [...$("#thumbnails").children];
  if (!nodes.length) return;
  const now = nodes.findIndex((node) => Number(node.dataset.image) === state.image);
  const next = nodes[Math.min(Math.max(now + by, 0), nodes.length - 1)];
  const focused = $("#thumbnails").contains(document.activeElement);
  chooseImage(Number(next.dataset.image));
  if (focused) next.focus();
}

// ---------------------------------------------------------------------------------------- maps

/** Values of a map [h * w] that a sprite holds, and why it cannot be drawn, if it cannot. */
function mapOf(name, place, image) {
  const sprite = chunk.maps[name];
  const inside = image % study.chunk;
  const column = sprite && sprite.of === 1 ? 0 : place;
  const scale = sprite?.scale[inside][column] ?? null;
  if (scale === null) return {why: "not explained at this level"};
  if (scale.length === 0) return {why: "undefined: not finite"};
  if (scale.length === 1) return {why: scale[0] === 0 ? "empty: 0 everywhere" : `constant: ${scale[0].toPrecision(2).replace("-", "−")}`};
  const cell = inside * sprite.of + column;
  const {width, height, stride, bytes} = sprite;
  const left = (cell % sprite.columns) * width, top = Math.floor(cell / sprite.columns) * height;
  const [low, high] = scale, signed = explainerFacts(name).signed, reach = Math.max(Math.abs(low), Math.abs(high));
  const values = new Float32Array(width * height);
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) {
    const byte = bytes[(top + y) * stride + left + x];
    values[y * width + x] = signed ? reach * (byte - 128) / 127 : low + (high - low) * byte / 255;
  }
  return {values, width, height, low, high, signed};
}

/** The range over which a map's colours go: its own, or that of all levels of the pruner. */
function rangeOf(map, name, image) {
  let {low, high} = map;
  if (state.scale === "shared") {
    const sprite = chunk.maps[name];
    for (const place of sprite.of === 1 ? [0] : chain()) {
      const scale = sprite.scale[image % study.chunk][place];
      if (scale?.length) { low = Math.min(low, scale[0]); high = Math.max(high, scale.at(-1)); }
    }
  }
  const reach = Math.max(Math.abs(low), Math.abs(high));
  return map.signed ? [-reach, reach] : [low, high];
}

/** Values in [0, 1] for the palette. */
function scaled(map, name, image) {
  const [low, high] = rangeOf(map, name, image);
  return map.values.map((value) => (value - low) / (high - low));
}

function paint(canvas, shares, width, height, palette) {
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  const picture = context.createImageData(width, height);
  shares.forEach((share, place) => {
    const colour = 3 * Math.min(255, Math.max(0, Math.round(255 * share)));
    for (let c = 0; c < 3; c++) picture.data[4 * place + c] = palette[colour + c];
    picture.data[4 * place + 3] = 255;
  });
  context.putImageData(picture, 0, 0);
}

/** The image in grey, for what lies on it. */
function greyImage(image) {
  const {sheet, bitmap} = pictures;
  const inside = image % study.chunk;
  const canvas = el("canvas", {width: sheet.width, height: sheet.height});
  const context = canvas.getContext("2d");
  context.filter = "grayscale(1)";
  context.drawImage(bitmap, (inside % sheet.columns) * sheet.width, Math.floor(inside / sheet.columns) * sheet.height,
    sheet.width, sheet.height, 0, 0, sheet.width, sheet.height);
  return canvas;
}

/** An image with room for a map on it; the image is drawn once, the map at every level. */
function mapBox(image) {
  const {width, height} = pictures.sheet;
  return el("div", {className: "map", style: `aspect-ratio:${width}/${height}`}, greyImage(image), el("canvas"), el("span", {className: "why", hidden: true}));
}

/** Draw a map over its image into a box of `mapBox`. */
function showMap(box, name, place, image) {
  const map = mapOf(name, place, image);
  const [under, over] = box.querySelectorAll("canvas");
  const why = box.querySelector(".why");
  why.hidden = !map.why;
  why.textContent = map.why ?? "";
  over.hidden = Boolean(map.why);
  over.style.opacity = $("#opacity").value;
  box.classList.toggle("flat", Boolean(map.why));
  under.style.opacity = map.why ? 0.35 : 1;
  if (!map.why) paint(over, scaled(map, name, image), map.width, map.height, study.palettes[map.signed ? "diverging" : "sequential"]);
  return map;
}

function showDifference(box, first, second, name, image) {
  const [under, over] = box.querySelectorAll("canvas");
  const why = box.querySelector(".why");
  const lacking = first.why || second.why;
  why.hidden = !lacking;
  why.textContent = lacking ? "no difference: a map is missing or flat" : "";
  over.hidden = Boolean(lacking);
  over.style.opacity = $("#opacity").value;
  box.classList.toggle("flat", Boolean(lacking));
  under.style.opacity = lacking ? 0.35 : 1;
  if (lacking) return;
  const [a, b] = [first, second].map((map) => scaled(map, name, image));
  // half of the palette lies on each side of no difference, also for signed maps, which go from 0 to 1 here
  paint(over, b.map((value, place) => 0.5 + (value - a[place]) / 2), second.width, second.height, study.palettes.diverging);
}

// ---------------------------------------------------------------------------------------- stage

/** The checkpoint that is compared with, and its name. */
function comparison() {
  const [how, name] = (state.compare ?? "dense").split(/ (.*)/);
  if (!name) return {place: 0, text: "dense"};
  const of = how === "density" ? (place) => Math.log(Math.max(facts(place).density ?? 1, 1e-9)) : accuracy;
  const goal = of(here());
  const places = chain(name).slice(name === "dense" ? 0 : 1);
  const place = places.reduce((best, one) => Math.abs(of(one) - goal) < Math.abs(of(best) - goal) ? one : best);
  return {place, text: `${called("pruner", name)}, level ${network.checkpoints[place].level}`};
}

function predictionText(place, image) {
  const predicted = overview.predicted[place][image];
  const mark = predicted === dataset.labels[image] ? "✓" : "✗";
  return `predicts ${dataset.classes[predicted]} ${mark} (${number(overview.probability[place][image])})`;
}

function showStage() {
  const image = row();
  $("#title").textContent = `Image ${state.image}, class ${dataset.classes[dataset.labels[image]]}`;
  const end = flip(image), moved = movedFirst(image), floor = agreementFloor(image);
  const story = [end ? `The prediction flips at level ${end}.` : "The prediction never flips."];
  if (moved) {
    const value = number(agreed(image, chain()[moved.level]));
    story.push(`Before that, at level ${moved.level}, the explanation had moved: ${called("metric", state.metric)} with dense is ${value}` +
      (floor ? `, outside of the floor of ${number(floor[0])} to ${number(floor[1])}.` : "."));
  }
  $("#story").textContent = story.join(" ");
  showLevels(image);

  const labels = ["compare", "now", "difference"];
  $("#panes").replaceChildren(...labels.map((label) => el("figure", {"data-pane": label}, mapBox(image), el("figcaption"))));
  $("#explainers").replaceChildren(...network.explainers.map(({name}) => el("button", {type: "button", "data-explainer": name}, mapBox(image), el("span"))));
  showKey();
  showLevel();
}

function showLevels(image) {
  const places = chain();
  const head = el("tr", {}, el("th", {scope: "col"}, "level"), ...places.map((_, level) => el("th", {scope: "col", "data-level": level},
    el("button", {type: "button", "data-level": level, "aria-label": `Show level ${level}`}, level ? String(level) : "dense"))));
  const line = (name, of) => el("tr", {}, el("th", {scope: "row"}, name), ...places.map((place, level) => el("td", {"data-level": level}, ...of(place))));
  $("#levels").replaceChildren(head,
    line("weights left", (place) => [leftOf(place)]),
    line("accuracy", (place) => [percent(accuracy(place))]),
    line("prediction", (place) => {
      const predicted = overview.predicted[place][image];
      const text = `${dataset.classes[predicted]} ${predicted === dataset.labels[image] ? "✓" : "✗"}`;
      return predicted === overview.predicted[0][image] ? [text] : [el("span", {className: "flipped"}, `${text} ↷`)];
    }),
    line("probability", (place) => [number(overview.probability[place][image])]));
}

/** Everything that another level changes: nothing is loaded here. */
function showLevel() {
  performance.mark("level");
  const image = row(), place = here(), other = comparison();
  $("#level").value = state.level;
  $("#level-name").textContent = state.level ? `${state.level}: ${leftOf(place)} of weights` : "dense";
  for (const node of $("#levels").querySelectorAll(":is(th, td)[data-level]")) node.classList.toggle("now", Number(node.dataset.level) === state.level);
  for (const node of $("#levels").querySelectorAll("button")) node.setAttribute("aria-pressed", Number(node.dataset.level) === state.level);
  const [first, second, third] = $("#panes").children;
  const a = showMap(first.firstChild, state.explainer, other.place, image);
  const b = showMap(second.firstChild, state.explainer, place, image);
  showDifference(third.firstChild, a, b, state.explainer, image);
  const name = state.level ? `${called("pruner", state.pruner)}, level ${state.level}` : "dense";
  const caption = (text, at) => [el("b", {}, text), el("br"), `${leftOf(at)} of weights, accuracy ${percent(accuracy(at))}`, el("br"), predictionText(at, image)];
  first.lastChild.replaceChildren(...caption(other.text, other.place));
  second.lastChild.replaceChildren(...caption(name, place));
  third.lastChild.replaceChildren(el("b", {}, "difference"), el("br"), "the middle map minus the left one, each on its scale");
  showScores(image);
  for (const node of $("#explainers").children) {
    const own = node.dataset.explainer;
    showMap(node.firstChild, own, place, image);
    const value = agreed(image, place, own);
    node.lastChild.textContent = called("explainer", own) + (value === null ? "" : `: ${number(value)}`);
    node.setAttribute("aria-pressed", own === state.explainer);
  }
  performance.measure("level change", "level");
}

function showKey() {
  const {signed, target} = explainerFacts();
  const entry = (palette, left, right) => {
    const canvas = el("canvas");
    paint(canvas, Float32Array.from({length: 256}, (_, k) => k / 255), 256, 1, study.palettes[palette]);
    return el("span", {}, left, canvas, right);
  };
  $("#key").replaceChildren(
    signed ? entry("diverging", "against the class", "for it; white is 0") : entry("sequential", "lowest", "highest"),
    entry("diverging", "difference: less", "more; white is none"),
    ...(target ? [el("span", {}, `The maps explain ${target}.`)] : []));
}

/** Sparklines of the chosen map's agreement and scores, with the floor as a band. */
function showScores(image) {
  const inside = image % study.chunk;
  const found = [];
  const take = (metrics, at) => {
    for (const [metric, {at: rows, floor}] of Object.entries(metrics ?? {})) {
      const edges = floor[network.floors[state.pruner]];
      found.push(sparkline(metric, chain().map((place) => rows[place]?.[at] ?? null),
        edges && edges[0][at] !== null ? [edges[0][at], edges[1][at]] : null));
    }
  };
  take(overview.agreement[state.explainer], image);
  take(chunk.scores[state.explainer], inside);
  $("#scores").replaceChildren(...(found.length ? found : ["No metric scores this map."]));
}

function sparkline(metric, values, band) {
  const known = [...values, ...(band ?? [])].filter((value) => value !== null);
  const low = Math.min(...known), high = Math.max(...known), range = high - low || 1;
  const x = (level) => 8 + 184 * level / Math.max(values.length - 1, 1);
  const y = (value) => 38 - 32 * (value - low) / range;
  const parts = [];
  if (band) parts.push(svg("rect", {class: "band", x: 2, width: 196, y: y(band[1]) - 1, height: y(band[0]) - y(band[1]) + 2}));
  const points = values.flatMap((value, level) => value === null ? [] : [[x(level), y(value), level]]);
  parts.push(svg("polyline", {class: "line", points: points.map(([a, b]) => `${a},${b}`).join(" ")}));
  for (const [a, b, level] of points) parts.push(svg("circle", {class: level === state.level ? "dot now" : "dot", cx: a, cy: b, r: level === state.level ? 4.5 : 3}));
  const floor = band ? `; floor ${number(band[0])} to ${number(band[1])}` : "";
  const name = called("metric", metric);
  const spoken = `${name} by level: ${values.map((value) => number(value)).join(", ")}${floor}`;
  const {unit} = study.metrics[metric] ?? study.agreement[metric] ?? {unit: ""};
  const chart = svg("svg", {viewBox: "0 0 200 44", preserveAspectRatio: "none", role: "img", "aria-label": spoken});
  chart.append(...parts);
  return el("div", {title: `${spoken}${unit ? ` (${unit})` : ""}`}, el("b", {}, metric in study.agreement ? `${name} with dense` : name),
    `: ${number(values[state.level])}`, chart);
}

// -------------------------------------------------------------------------------------- scatter

async function showScatter() {
  await libraries();
  const seeds = await Promise.all(network.seeds.map((seed) => load(`networks/${state.network}/${seed}/${state.condition}`)));
  if (state.view !== "scatter") return;
  $("#checkpoints").replaceChildren(scatter(checkpointPoints(seeds), network.pruners.map((name) => called("pruner", name)), "↑ accuracy on the test split"));
  $("#points-of").textContent = `Images at level ${state.level} of ${called("pruner", state.pruner)}, seed ${state.seed}`;
  $("#points").replaceChildren(scatter(imagePoints(), ["as dense", "flipped"], "↑ probability of the predicted class"));
}

/** A chart whose points {x, y, group, text, to, chosen} are picked by mouse, and by arrow keys and Enter. */
function scatter(points, groups, label) {
  if (!points.length) return el("p", {}, `No agreement of ${called("explainer", state.explainer)} is known here: choose another explainer, or a checkpoint at which it runs.`);
  const chart = Plot.plot({
    width: Math.min(640, document.documentElement.clientWidth - 26), height: 440, marginLeft: 52, marginBottom: 46, inset: 14,
    style: {fontSize: "13px", color: "#1a1a1a"},
    x: {label: `${called("metric", state.metric)} of ${called("explainer", state.explainer)} with dense →`, grid: true, labelAnchor: "center", labelArrow: "none"},
    y: {label, grid: true, labelArrow: "none"},
    // six colours and seven symbols: 42 groups look different
    color: {domain: groups, range: ["#1f4e8c", "#b8430f", "#2a7d5a", "#a3195b", "#5a5a5a", "#7d6000"]},
    symbol: {domain: groups, range: ["circle", "triangle", "square", "diamond2", "cross", "star", "wye"], legend: true, style: {fontSize: "13px"}},
    marks: [
      Plot.dot(points, {x: "x", y: "y", stroke: "group", fill: "group", fillOpacity: 0.35, symbol: "group", r: 5.5, className: "points", ariaLabel: "text"}),
      Plot.dot(points.filter((point) => point.chosen), {x: "x", y: "y", r: 11, stroke: "#1a1a1a", strokeWidth: 2, pointerEvents: "none"}),
      Plot.tip(points, Plot.pointer({x: "x", y: "y", title: "text"})),
    ],
  });
  // Plot names groups of marks without a role that may have a name
  for (const group of chart.querySelectorAll("g[aria-label]")) group.setAttribute("role", "group");
  const nodes = [...chart.querySelectorAll("[aria-label]")].filter((node) => points.some((point) => point.text === node.getAttribute("aria-label")));
  nodes.forEach((node, place) => {
    const point = points.find(({text}) => text === node.getAttribute("aria-label"));
    node.setAttribute("role", "button");
    node.setAttribute("tabindex", place ? -1 : 0);
    node.addEventListener("click", () => pick(point));
    node.addEventListener("keydown", (event) => {
      const by = {ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1}[event.key];
      if (event.key === "Enter" || event.key === " ") pick(point);
      else if (by) nodes[place + by]?.focus();
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
  });
  return chart;
}

function checkpointPoints(seeds) {
  return network.seeds.flatMap((seed, which) => network.checkpoints.flatMap(({pruner, level}, place) => {
    const values = (seeds[which].agreement[state.explainer]?.[state.metric]?.at[place] ?? []).filter((value) => value !== null);
    if (!level || !values.length) return [];
    const x = values.reduce((sum, value) => sum + value, 0) / values.length, y = accuracy(place, seed);
    const group = called("pruner", pruner);
    const text = `${group}, level ${level}, seed ${seed}: ${percent(facts(place, seed).density)} of weights, agreement ${number(x)}, accuracy ${percent(y)}`;
    return [{x, y, group, text, to: {pruner, level, seed}, chosen: pruner === state.pruner && level === state.level && seed === state.seed}];
  }));
}

function imagePoints() {
  const place = here();
  return all().flatMap((image) => {
    const x = agreed(image, place), y = overview.probability[place][image];
    if (x === null || y === null) return [];
    const group = overview.predicted[place][image] === overview.predicted[0][image] ? "as dense" : "flipped";
    const id = dataset.image_ids[image];
    return [{x, y, group, text: `image ${id}, ${group}: agreement ${number(x)}, ${predictionText(place, image)}`, to: {image: id, view: "images", show: "all"}, chosen: id === state.image}];
  });
}

function pick(point) { Object.assign(state, point.to); refresh(); }

// ------------------------------------------------------------------------------------- concepts

async function showConcepts() {
  const methods = Object.keys(network.concepts);
  if (!methods.length) {
    options($("#method"), [], "");
    options($("#concept-class"), [], "");
    $("#crops").replaceChildren(el("tr", {}, el("td", {}, "No method of this network has crops of concepts.")));
    return;
  }
  state.method = oneOf(state.method, methods);
  const seed = oneOf(state.seed, network.concepts[state.method]);
  const found = await load(`concepts/${state.network}/${seed}/${state.method}`);
  const places = chain().filter((place) => found[place]);
  const names = [...new Set(places.flatMap((place) => found[place].classes.map((one) => one.name)))];
  state.class = oneOf(state.class, names);
  options($("#method"), methods.map((name) => [name, called("concept", name)]), state.method);
  options($("#concept-class"), names.map((name) => [name, name || "all classes"]), state.class);
  const rows = Math.max(0, ...places.map((place) => found[place].classes.find((one) => one.name === state.class)?.rows ?? 0));
  const head = el("tr", {}, el("th", {}, "rank"), ...places.map((place) => el("th", {}, `${network.checkpoints[place].level || "dense"}: ${leftOf(place)} of weights`)));
  $("#crops").replaceChildren(head, ...Array.from({length: rows}, (_, rank) => el("tr", {}, el("th", {}, String(rank + 1)),
    ...places.map((place) => el("td", {}, ...conceptCell(found[place], state.class, rank))))));
}

function conceptCell({classes, crops, sprite}, name, rank) {
  const which = classes.findIndex((one) => one.name === name);
  if (which < 0 || rank >= classes[which].rows) return ["–"];
  const {name: concept, weight} = classes[which].concepts[rank] ?? {name: "", weight: null};
  const first = (classes.slice(0, which).reduce((sum, one) => sum + one.rows, 0) + rank) * crops;
  const scale = 48 / Math.max(sprite.width, sprite.height);
  return [`${concept} (${number(weight)})`, el("br"), ...Array.from({length: crops}, (_, place) => {
    const cell = first + place;
    const left = (cell % sprite.columns) * sprite.width, top = Math.floor(cell / sprite.columns) * sprite.height;
    return el("i", {role: "img", "aria-label": `crop ${place + 1} of ${concept}`, style:
      `width:${sprite.width}px;height:${sprite.height}px;zoom:${scale};background:url(${address(sprite)}) -${left}px -${top}px`});
  })];
}

// -------------------------------------------------------------------------------------- together

/** Load what the choices need, and show it. */
async function refresh() {
  const mine = ++turn;
  settle();
  const key = `networks/${state.network}/${state.seed}/${state.condition}`;
  const base = `images/${network.dataset}/${state.condition}`;
  try {
    const [found, thumbnails] = await Promise.all([load(key), load(`${base}/thumbnails`)]);
    if (mine !== turn) return;
    overview = found;
    pictures = {...pictures, thumbnails};
    fillChoices();
    showThumbnails();
    state.level ??= movedFirst(row())?.level ?? Math.min(1, chain().length - 1);
    for (const name of ["images", "scatter", "concepts"]) $(`#${name}`).hidden = name !== state.view;
    for (const node of document.querySelectorAll("[data-view]")) {
      if (node.dataset.view === state.view) node.setAttribute("aria-current", "page"); else node.removeAttribute("aria-current");
    }
    if (state.view === "images") await showImage(mine);
    if (state.view === "scatter") await showScatter();
    if (state.view === "concepts") await showConcepts();
    $("#message").hidden = true;
  } catch (error) {
    say(error.message);
  }
  writeHash();
}

/** Load the maps of the chosen image and show them. */
async function showImage(mine = ++turn) {
  const part = Math.floor(row() / study.chunk);
  const key = `networks/${state.network}/${state.seed}/${state.condition}/${part}`;
  const [found, controls, sheet] = await Promise.all([load(key),
    load(`networks/${state.network}/controls/${state.condition}/${part}`), load(`images/${network.dataset}/${state.condition}/${part}`)]);
  const bitmap = new Image();
  bitmap.src = sheet.source;
  const maps = {...found.maps, ...controls};
  await Promise.all([bitmap.decode(), ...Object.values(maps).map(decode)]);
  if (mine !== turn) return;
  chunk = {...found, maps};
  pictures = {...pictures, sheet, bitmap};
  markThumbnail();
  showStage();
  writeHash();
  performance.measure("image shown");
}

function chooseImage(id) {
  state.image = id;
  showImage().catch((error) => say(error.message));
}

function chooseLevel(level) {
  const last = chain().length - 1;
  state.level = Math.min(Math.max(level, 0), last);
  if (state.view === "images" && state.order !== "now") { showLevel(); writeHash(); } else refresh();
}

function play(on) {
  clearInterval(playing);
  playing = on ? setInterval(() => chooseLevel((state.level + 1) % chain().length), 900) : 0;
  $("#play").setAttribute("aria-pressed", Boolean(playing));
  $("#play").textContent = playing ? "■ Stop" : "▶ Play";
}

function stepExplainer(by) {
  const names = network.explainers.map((one) => one.name);
  state.explainer = names[(names.indexOf(state.explainer) + by + names.length) % names.length];
  refresh();
}

function say(text) {
  $("#message").textContent = text;
  $("#message").hidden = false;
}

function listen() {
  $("#networks").addEventListener("change", ({target}) => {
    state[target.name] = target.name === "network" ? Number(target.value) : target.value;
    if (["network", "pruner"].includes(target.name)) Object.assign(state, {show: undefined, level: undefined, fresh: true});
    if (target.name === "network") Object.assign(state, {label: "", tag: ""});
    refresh();
  });
  $("#filters").addEventListener("change", ({target}) => { state[target.name] = target.value; state.fresh = true; refresh(); });
  for (const name of ["compare", "scale"]) $(`#${name}`).addEventListener("change", ({target}) => { state[name] = target.value; showLevel(); writeHash(); });
  for (const [id, key] of [["method", "method"], ["concept-class", "class"]]) {
    $(`#${id}`).addEventListener("change", ({target}) => { state[key] = target.value; refresh(); });
  }
  $("#level").addEventListener("input", ({target}) => chooseLevel(Number(target.value)));
  $("#opacity").addEventListener("input", ({target}) => {
    for (const node of document.querySelectorAll(".map canvas + canvas")) node.style.opacity = target.value;
  });
  $("#play").addEventListener("click", () => play(!playing));
  $("#help-button").addEventListener("click", () => $("#help").showModal());
  $("#levels").addEventListener("click", ({target}) => { const node = target.closest("button"); if (node) chooseLevel(Number(node.dataset.level)); });
  $("#explainers").addEventListener("click", ({target}) => {
    const node = target.closest("button");
    if (node) { state.explainer = node.dataset.explainer; refresh(); }
  });
  $("#thumbnails").addEventListener("click", ({target}) => { const node = target.closest("button"); if (node) chooseImage(Number(node.dataset.image)); });
  for (const node of document.querySelectorAll("[data-view]")) node.addEventListener("click", () => { state.view = node.dataset.view; refresh(); });
  for (const form of document.forms) if (form.method !== "dialog") form.addEventListener("submit", (event) => event.preventDefault());
  addEventListener("hashchange", () => { readHash(); refresh(); });
  addEventListener("keydown", keys);
}

function keys(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("select, dialog")) return;
  const inThumbnails = $("#thumbnails").contains(event.target), inSlider = event.target.matches("input");
  const views = {1: "images", 2: "scatter", 3: "concepts"};
  const actions = {
    ArrowLeft: () => inThumbnails ? stepImage(-1) : chooseLevel(state.level - 1),
    ArrowRight: () => inThumbnails ? stepImage(1) : chooseLevel(state.level + 1),
    j: () => stepImage(1), k: () => stepImage(-1),
    e: () => stepExplainer(1), w: () => stepExplainer(-1),
    p: () => play(!playing), "?": () => $("#help").showModal(),
  };
  const view = views[event.key];
  if (view && !$(`[data-view=${view}]`).hidden) { state.view = view; refresh(); } else if (actions[event.key] && !(inSlider && event.key.startsWith("Arrow"))) actions[event.key]();
  else return;
  event.preventDefault();
}

addEventListener("DOMContentLoaded", async () => {
  try {
    study = await load("study");
  } catch (error) {
    say(error.message);
    return;
  }
  $("#study").textContent = study.study;
  document.title = `Pruning atlas: ${study.study}`;
  readHash();
  // Without an image in the address, begin with the first one that the filters leave.
  state.fresh = state.image === undefined;
  $("#opacity").value = 0.7;
  listen();
  await refresh();
  performance.measure("first view");
});
