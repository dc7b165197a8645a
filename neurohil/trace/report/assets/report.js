"use strict";
// Draws the figures of the page when they come into sight, and brings them to life: choices, sliders, cursors, keys.
// A figure is drawn from compressed JSON in a <script type="application/gzip">; its data are bokeh sources, by name.

const MOST_POINTS = 20000; // events in the window that are still drawn one by one
const CELL = 2; // pixels, width and height of a cell of the density picture

const drawn = new Map(); // id of a panel -> promise of its bokeh document
const darkness = matchMedia("(prefers-color-scheme: dark)");

// ---------------------------------------------------------------------------------------------------- drawing

async function unpack(script) {
  const bytes = Uint8Array.from(atob(script.textContent), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).json();
}

function draw(panel) {
  if (!drawn.has(panel.id)) drawn.set(panel.id, embed(panel));
  return drawn.get(panel.id);
}

async function embed(panel) {
  const script = document.querySelector(`script[data-figure="${panel.id}"]`);
  const item = await unpack(script);
  script.remove();
  const manager = await Bokeh.embed.embed_item(item, panel.id);
  const root = manager.roots[0];
  const find = (name) => root.model.document.get_model_by_name(name);
  panel.bokeh = { root, find };
  colour(panel);
  const section = panel.closest("section");
  behaviours[section.dataset.behaviour]?.(section, panel, find);
  panel.dataset.drawn = "";
  return panel.bokeh;
}

function plots(panel) {
  const found = [];
  const visit = (view) => (view.model.type === "Figure" ? found.push(view) : view.child_views?.forEach(visit));
  if (panel.bokeh) visit(panel.bokeh.root);
  return found;
}

function visiblePanel(section) {
  return section.querySelector(".panel:not([hidden])");
}

function colour(panel) {
  // Text, axes and grids have their colours from the page's CSS; only what marks data must be told.
  const ink = getComputedStyle(document.documentElement).getPropertyValue("--ink").trim();
  for (const view of plots(panel)) {
    const { renderers, above, right } = view.model;
    for (const renderer of renderers) if (renderer.tags.includes("ink")) renderer.glyph.line_color = ink;
    for (const guide of [...above, ...right]) {
      if (guide.type === "Legend") guide.setv({ label_text_color: ink, title_text_color: ink });
      if (guide.type === "ColorBar") guide.setv({ major_label_text_color: ink, bar_line_color: ink });
    }
    view.request_repaint();
  }
}

// ------------------------------------------------------------------------------------------------- behaviours

function control(section, name) {
  return section.querySelector(`[data-control="${name}"]`);
}

function show(section, index) {
  section.querySelectorAll(".panel").forEach((panel, k) => (panel.hidden = k !== index));
  return draw(visiblePanel(section));
}

const behaviours = {
  // One of the frames of a growing map, chosen by a slider.
  frames(section, panel, find) {
    const slider = control(section, "frame");
    const text = section.querySelector('[data-value="frame"]');
    const source = find("map").data_source;
    const frames = find("frames").data.values;
    const update = () => {
      source.data.image[0].set(frames[slider.valueAsNumber - 1]);
      source.change.emit();
      text.value = slider.value;
    };
    slider.addEventListener("input", update);
    update();
  },

  // Decisions on test samples: the output spikes of a chosen one.
  plane(section, panel, find) {
    const number = control(section, "sample");
    const readout = section.querySelector(".readout");
    const { recorded } = JSON.parse(section.dataset.view);
    const samples = find("samples");
    const choose = (sample) => {
      if (!(sample in samples.data.x)) return;
      number.value = sample;
      find("chosen").data = { x: [samples.data.x[sample]], y: [samples.data.y[sample]] };
      const events = find("output_events");
      if (events) events.data = { ...events.data, time: find("output_times").data.time[sample] };
      const { truth, decision } = samples.data;
      readout.value = `Test sample ${sample}: ${truth[sample]}, decided as ${decision[sample]}.`;
      const spikes = document.getElementById("spikes");
      if (recorded.includes(sample) && spikes) {
        const choice = control(spikes, "choice");
        readout.value += " All its spikes and membranes are shown below.";
        if (choice && choice.value !== String(recorded.indexOf(sample))) {
          choice.value = recorded.indexOf(sample);
          choice.dispatchEvent(new Event("change"));
        }
      }
    };
    samples.selected.change.connect(() => {
      if (samples.selected.indices.length) choose(samples.selected.indices[0]);
    });
    number.addEventListener("input", () => choose(number.valueAsNumber));
    control(section, "next_wrong").addEventListener("click", () => {
      const { label, predicted } = samples.data;
      for (let step = 1; step <= label.length; step++) {
        const sample = (number.valueAsNumber + step) % label.length;
        if (label[sample] !== predicted[sample]) return choose(sample);
      }
    });
    choose(number.valueAsNumber);
  },

  // Events over time: single points or their density, and the membrane under the cursor.
  raster(section, panel, find) {
    const figure = find("raster");
    const view = plots(panel).find((plot) => plot.model === figure);
    const events = decode(find("events"));
    const names = figure.tags[2];
    const paint = () => {
      const { within, asPoints } = paintEvents(view, find, events, figure.tags[1], names);
      panel.dataset.events = within;
      panel.dataset.drawnAs = asPoints ? "points" : "density";
    };
    let waiting = false;
    const soon = () => {
      if (waiting) return;
      waiting = true;
      requestAnimationFrame(() => ((waiting = false), paint()));
    };
    for (const range of [figure.x_range, figure.y_range]) range.change.connect(soon);
    view.model.properties.inner_width.change.connect(soon);
    paint();
    followCursor(section, panel, find, events, names);
  },
};

// ----------------------------------------------------------------------------------------------------- events

function decode(source) {
  const [start, tick, count, low, step] = source.tags;
  const column = (name) => {
    const values = new Float64Array(count);
    for (let plane = 0; plane < 8; plane++) {
      const bytes = source.data[name + plane];
      const weight = 256 ** plane;
      if (bytes) for (let i = 0; i < count; i++) values[i] += weight * bytes[i];
    }
    return values;
  };
  const time = column("step");
  let ticks = 0;
  for (let i = 0; i < count; i++) {
    ticks += time[i];
    time[i] = start + ticks * tick;
  }
  const level = source.data.level;
  const value = new Float32Array(count);
  for (let i = 0; i < count; i++) value[i] = level[i] === 255 ? NaN : low + level[i] * step;
  return { time, neuron: Uint32Array.from(column("neuron")), value, level, count };
}

function firstAtOrAfter(sorted, value) {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

function paintEvents(view, find, events, colours, names) {
  const { x_range: x, y_range: y } = view.model;
  const [first, last] = [firstAtOrAfter(events.time, x.start), firstAtOrAfter(events.time, x.end)];
  const [bottom, top] = [Math.min(y.start, y.end), Math.max(y.start, y.end)];
  const { neuron } = events;
  let within = 0;
  for (let i = first; i < last; i++) if (neuron[i] >= bottom && neuron[i] <= top) within++;
  const asPoints = within <= MOST_POINTS;
  find("density").visible = !asPoints;
  find("points").visible = asPoints;
  if (asPoints) paintPoints(find("shown"), events, first, last, bottom, top, within, names);
  else paintDensity(view, find("density"), events, first, last, bottom, top, colours, names);
  return { within, asPoints };
}

function paintPoints(source, events, first, last, bottom, top, within, names) {
  const data = { time: new Float64Array(within), neuron: new Float64Array(within), value: new Float32Array(within), solid: new Float32Array(within) };
  for (let i = first, k = 0; i < last; i++) {
    if (events.neuron[i] < bottom || events.neuron[i] > top) continue;
    data.time[k] = events.time[i];
    data.neuron[k] = events.neuron[i];
    data.value[k] = events.value[i];
    data.solid[k++] = names[events.level[i]]?.startsWith("delayed ") ? 0 : 1;
  }
  source.data = data;
}

function paintDensity(view, renderer, events, first, last, bottom, top, colours, names) {
  const { x_range: x, inner_width, inner_height } = view.model;
  const columns = Math.max(1, Math.round(inner_width / CELL));
  const rows = Math.max(1, Math.min(Math.round(inner_height / CELL), Math.ceil(top - bottom)));
  const { time, neuron, level } = events; // looked up once, not a million times
  const start = x.start;
  const counts = new Uint32Array(rows * columns);
  const levels = new Uint8Array(rows * columns);
  const [across, up] = [columns / (x.end - x.start), rows / (top - bottom)];
  let most = 1;
  for (let i = first; i < last; i++) {
    const row = Math.floor((neuron[i] - bottom) * up);
    if (row < 0 || row >= rows) continue;
    const cell = row * columns + Math.min(columns - 1, Math.floor((time[i] - start) * across));
    if (++counts[cell] > most) most = counts[cell];
    levels[cell] = level[i];
  }
  const byLevel = Uint32Array.from({ length: 256 }, (_, code) => {
    const index = names.length ? code : Math.floor((code / 255) * colours.length);
    const [r, g, b] = (colours[Math.min(index, colours.length - 1)].match(/\w\w/g) ?? []).map((hex) => parseInt(hex, 16));
    return (b << 16) | (g << 8) | r;
  });
  const picture = new Uint32Array(rows * columns);
  for (let cell = 0; cell < picture.length; cell++) {
    if (counts[cell]) {
      const opacity = Math.round(255 * (0.25 + (0.75 * Math.log(counts[cell])) / Math.log(Math.max(2, most))));
      picture[cell] = byLevel[levels[cell]] | (opacity << 24);
    }
  }
  renderer.glyph.setv({ x: x.start, y: bottom, dw: x.end - x.start, dh: top - bottom });
  const { constructor: Picture } = renderer.data_source.data.image[0]; // bokeh's two-dimensional arrays
  renderer.data_source.data = { image: [new Picture(picture, [rows, columns])] };
}

function followCursor(section, panel, find, events, names) {
  const figure = find("raster");
  const [number, slider] = [control(section, "neuron"), control(section, "time")];
  const readout = section.querySelector(".readout");
  const text = section.querySelector('[data-value="time"]');
  const potentials = find("potentials");
  const trace = find("trace");
  const label = figure.below[0].axis_label;
  const unit = label.match(/\(([^)]*)\)/)?.[1] ?? "";
  const home = [figure.x_range.start, figure.x_range.end];
  let [time, held] = [(home[0] + home[1]) / 2, false];
  let neuron = potentials ? potentials.data.neuron[0] : events.neuron[0] ?? 0;

  const update = () => {
    if (panel.hidden) return;
    number.value = neuron;
    slider.value = Math.round((1000 * (time - home[0])) / (home[1] - home[0]));
    text.value = `${digits(time)} ${unit}`;
    slider.setAttribute("aria-valuetext", text.value);
    find("cursor_neuron").location = neuron;
    for (const name of ["cursor_raster", "cursor_membrane"]) if (find(name)) find(name).location = time;
    const row = potentials ? Array.from(potentials.data.neuron).indexOf(neuron) : -1;
    let words = `${figure.left[0].axis_label} ${neuron}, ${digits(time)} ${unit}`;
    if (row >= 0) {
      const potential = potentials.data.potential[row];
      if (trace.row !== row) {
        trace.data = { ...trace.data, potential };
        trace.row = row;
      }
      const at = Math.min(firstAtOrAfter(trace.data.time, time), potential.length - 1);
      words += `: ${find("membrane").left[0].axis_label} ${digits(potential[at])}`;
    } else if (potentials) words += ": no membrane recorded";
    else words += `: ${panel.dataset.events} events in the window`;
    readout.value = `${words}. ${held ? "Held; click to release." : ""}`;
  };
  const move = ({ x, y }) => {
    time = Math.min(Math.max(x, home[0]), home[1]);
    if (y !== undefined) neuron = Math.max(0, Math.round(y));
    requestAnimationFrame(update);
  };
  figure.on_event("mousemove", (event) => held || move(event));
  figure.on_event("tap", (event) => ((held = !held), move(event)));
  find("membrane")?.on_event("mousemove", (event) => move({ x: event.x }));
  number.addEventListener("input", () => ((neuron = number.valueAsNumber || 0), (held = true), update()));
  slider.addEventListener("input", () => move({ x: home[0] + (slider.valueAsNumber / 1000) * (home[1] - home[0]) }));
  panel.addEventListener("shown", update);
  number.max = events.neuron.reduce((most, n) => Math.max(most, n), 0);
  update();
}

function digits(value) {
  return Number.isFinite(value) ? String(Number(value.toPrecision(6))) : "none";
}

// ------------------------------------------------------------------------------------------------------- keys

const KEYS = {
  "+": [0.7, 0, 0], "=": [0.7, 0, 0], "-": [1 / 0.7, 0, 0],
  ArrowLeft: [1, -0.2, 0], ArrowRight: [1, 0.2, 0], ArrowUp: [1, 0, 0.2], ArrowDown: [1, 0, -0.2],
};

function onKey(event) {
  const figure = event.currentTarget;
  if (event.target !== figure || event.ctrlKey || event.metaKey || event.altKey) return;
  const views = plots(visiblePanel(figure.closest("section")));
  if (event.key === "0") views.forEach((view) => view.reset());
  else if (event.key in KEYS) {
    const [zoom, right, up] = KEYS[event.key];
    for (const range of new Set(views.map((view) => view.model.x_range))) shift(range, zoom, right);
    for (const view of views) shift(view.model.y_range, zoom, up);
  } else return;
  event.preventDefault();
}

function shift(range, zoom, move) {
  const [middle, half] = [(range.start + range.end) / 2, (range.end - range.start) / 2];
  range.setv({ start: middle + 2 * move * half - zoom * half, end: middle + 2 * move * half + zoom * half });
}

// ------------------------------------------------------------------------------------------------------ start

for (const select of document.querySelectorAll('[data-control="choice"]')) {
  const section = select.closest("section");
  select.addEventListener("change", async () => {
    await show(section, Number(select.value));
    visiblePanel(section).dispatchEvent(new Event("shown"));
  });
}
for (const figure of document.querySelectorAll("figure")) figure.addEventListener("keydown", onKey);
darkness.addEventListener("change", () => document.querySelectorAll(".panel[data-drawn]").forEach(colour));

async function drawAll() {
  // First what is in sight, then the rest in the pauses, so that the page can be used at once.
  const panels = [...document.querySelectorAll(".panel:not([hidden])")];
  const inSight = panels.filter((panel) => panel.getBoundingClientRect().top < innerHeight);
  for (const panel of inSight) await draw(panel);
  performance.mark("usable");
  const pause = () => new Promise((go) => (window.requestIdleCallback ?? setTimeout)(go, { timeout: 200 }));
  for (const panel of panels) {
    await pause();
    await draw(panel);
  }
  performance.mark("complete");
  document.documentElement.dataset.complete = "";
}
const observer = new IntersectionObserver((entries) => {
  for (const entry of entries) if (entry.isIntersecting && !entry.target.hidden) draw(entry.target);
});
document.querySelectorAll(".panel").forEach((panel) => observer.observe(panel));
addEventListener("beforeprint", () => document.querySelectorAll(".panel:not([hidden])").forEach(draw));
drawAll();
