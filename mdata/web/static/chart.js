/* The chart of a series. It holds at most some thousand buckets around the view, and fetches others as one moves;
   every bucket has its place on the axis, with a candle or without. */
"use strict";

const MOST = 4800; // buckets to hold: an answer contains at most 5,000
const POLL = 2000; // ms between two requests for the newest candles
const LIMITS = [1.2, 14]; // px per bucket: below the first a coarser grid is better, above the second a finer one (only with "auto")

const box = document.getElementById("chart");
const { source, symbol, timeframe } = box.dataset;
const whole = { start: Number(box.dataset.start), end: Number(box.dataset.end) };
const buttons = [...document.querySelectorAll("[data-bucket]")];
const steps = { "1m": 1, "5m": 5, "15m": 15, "30m": 30, "1h": 60, "3h": 180, "6h": 360, "12h": 720, "1D": 1440, "1W": 10080, "1M": 43830 };
const grids = buttons.map((one) => one.dataset.bucket).filter(Boolean);
const stepOf = (grid) => steps[grid] * 60000;

const chart = LightweightCharts.createChart(box, {
  autoSize: true,
  layout: { fontFamily: "system-ui, sans-serif", attributionLogo: true },
  timeScale: { timeVisible: true, minBarSpacing: 0.25, rightOffset: 2, lockVisibleTimeRangeOnResize: true },
  localization: { timeFormatter: (time) => `${new Date(time * 1000).toISOString().slice(0, 16).replace("T", " ")} UTC` },
});
const axis = chart.timeScale();
const candles = chart.addSeries(LightweightCharts.CandlestickSeries);
const volume = chart.addSeries(LightweightCharts.HistogramSeries, {
  priceFormat: { type: "volume" }, priceScaleId: "", priceLineVisible: false, lastValueVisible: false,
});
volume.priceScale().applyOptions({ scaleMargins: { top: 0.82, bottom: 0 } });
candles.priceScale().applyOptions({ scaleMargins: { top: 0.06, bottom: 0.22 } });
const marks = LightweightCharts.createSeriesMarkers(candles, []);

let held = null; // the newest answer, with `times`: the open times of all its buckets
let chosen = ""; // the chosen grid; empty: whichever fits
let asking = null; // aborts the request under way

const bands = new Bands((time) => axis.logicalToCoordinate(logicalOf(time)) - axis.options().barSpacing / 2);
candles.attachPrimitive(bands);

function paint() {
  const style = getComputedStyle(document.body);
  const of = (name) => style.getPropertyValue(name).trim();
  const lines = { color: of("--line") };
  chart.applyOptions({
    layout: { background: { color: of("--raised") }, textColor: of("--ink") },
    grid: { vertLines: lines, horzLines: lines },
    timeScale: { borderColor: of("--line") }, rightPriceScale: { borderColor: of("--line") },
  });
  const up = of("--present"), down = of("--unknown");
  candles.applyOptions({
    upColor: of("--raised"), downColor: down, borderUpColor: up, borderDownColor: down, wickUpColor: up, wickDownColor: down,
    priceLineColor: of("--price"),
  });
  volume.applyOptions({ color: of("--volume") });
  paintSwatches();
  if (bands.update) bands.update();
}

/* The position of a time on the axis: the number of its bucket, counted from the first held bucket. */
function logicalOf(time) {
  if (held.step) return (time - held.start) / held.step;
  const after = held.times.findIndex((one) => one > time);
  return (after < 0 ? held.times.length : after) - 1;
}

function timeAt(logical) {
  const first = Math.floor(logical), step = held.step || stepOf(held.bucket);
  return (held.step || first < 0 ? held.start + first * step : held.times[first] ?? held.end) + (logical - first) * step;
}

function timesOf({ start, end, step }) {
  const times = [];
  for (let time = start; time < end; ) {
    times.push(time);
    const at = new Date(time);
    time = step ? time + step : Date.UTC(at.getUTCFullYear(), at.getUTCMonth() + 1);
  }
  return times;
}

function visible() {
  const range = axis.getVisibleLogicalRange();
  return range && held ? { start: timeAt(range.from), end: timeAt(range.to) } : null;
}

function gridFor(span) {
  if (chosen) return chosen;
  const room = Math.max(200, box.clientWidth - 60);
  return grids.find((grid) => span / stepOf(grid) <= room / 3) ?? grids.at(-1);
}

function show(range) {
  axis.setVisibleLogicalRange({ from: logicalOf(range.start), to: logicalOf(range.end) });
  tell(range);
}

/* Fetch the buckets around `range` on a grid, and show the range. */
async function load(range, grid) {
  const step = stepOf(grid), span = range.end - range.start;
  const spare = Math.max(span, Math.min(MOST * step, 6 * span) - span) / 2;
  const room = (MOST * step - span) / 2;
  const start = Math.max(whole.start - 50 * step, range.start - Math.min(spare, Math.max(0, room)));
  const end = Math.min(whole.end + 50 * step, range.end + Math.min(spare, Math.max(0, room)), start + MOST * step);
  if (end <= start) return;
  const answer = await ask(start, end, grid);
  if (!answer) return;
  const before = axis.getVisibleLogicalRange() && held ? visible() : null;
  const target = load.target ?? before ?? range;
  load.target = null;
  hold(answer);
  show(target);
}

async function ask(start, end, grid) {
  asking?.abort();
  asking = new AbortController();
  const wish = new URLSearchParams({ symbol, timeframe, start: instant(start), end: instant(end), bucket: grid });
  box.setAttribute("aria-busy", "true");
  try {
    const answer = await (await fetch(`${source}?${wish}`, { signal: asking.signal })).json();
    if (answer.exit) say(answer.reason);
    box.removeAttribute("aria-busy");
    return answer.exit ? null : answer;
  } catch (error) {
    if (error.name !== "AbortError") say("The server does not answer; this view may be old.");
    return null;
  }
}

const instant = (time) => new Date(Math.max(0, Math.floor(time))).toISOString();

function hold(answer) {
  held = { ...answer, times: timesOf(answer) };
  const found = new Map(answer.candles.map((row) => [row[0], row]));
  const bars = [], bottoms = [];
  for (const time of held.times) {
    const row = found.get(time);
    bars.push(row ? bar(row) : { time: time / 1000 });
    bottoms.push(row ? { time: time / 1000, value: row[5] } : { time: time / 1000 });
  }
  candles.applyOptions({ priceFormat: priceFormat(answer.candles) });
  bands.stretches = answer.stretches;
  candles.setData(bars);
  volume.setData(bottoms);
  mark();
  bands.update();
}

const bar = ([time, open, high, low, close]) => ({ time: time / 1000, open, high, low, close });

/* Five significant digits, whatever the price. */
function priceFormat(rows) {
  const price = rows.length ? rows.at(-1)[4] : 1;
  const precision = Math.min(10, Math.max(0, 4 - Math.floor(Math.log10(price))));
  return { type: "price", precision, minMove: 10 ** -precision };
}

function mark() {
  const colour = getComputedStyle(document.body).getPropertyValue("--ink").trim();
  const places = new Map(held.revised.map(([time]) => [held.times[Math.floor(logicalOf(time))], time]));
  marks.setMarkers(
    [...places.keys()].filter((time) => time !== undefined).sort((a, b) => a - b)
      .map((time) => ({ time: time / 1000, position: "aboveBar", shape: "arrowDown", color: colour, size: 0.7 })),
  );
}

/* After a move: fetch more if the view leaves the held buckets, or another grid if another fits. */
let waiting = 0;
function moved() {
  if (!held) return;
  clearTimeout(waiting);
  waiting = setTimeout(settle, 90);
}

function settle() {
  const range = visible();
  if (!range) return;
  tell();
  const span = range.end - range.start;
  const width = axis.options().barSpacing;
  const wants = !chosen && (width < LIMITS[0] || width > LIMITS[1]) ? gridFor(span) : held.bucket;
  const margin = span / 4;
  const lacks = (range.start - margin < held.start && held.start > whole.start)
    || (range.end + margin > held.end && held.end < whole.end);
  const tooFar = span > MOST * stepOf(wants);
  if (wants !== held.bucket || (lacks && !tooFar)) load(range, wants);
}

function tell(range = visible()) {
  if (!range) return;
  const inside = held.candles.filter(([time]) => time >= range.start && time < range.end);
  const found = held.stretches.filter(([start, end]) => end > range.start && start < range.end);
  const date = (time) => instant(time).slice(0, 16).replace("T", " ");
  const last = inside.at(-1);
  say(
    `${inside.length.toLocaleString("en")} candles of ${held.bucket} from ${date(range.start)} to ${date(range.end)}` +
      (last ? `, last close ${candles.priceFormatter().format(last[4])}` : "") + `; ${summary(found)}`,
  );
  const items = found.slice(0, 200).map(([start, end, verdict]) => {
    const item = document.createElement("li");
    item.textContent = `${date(start)} – ${date(end)}: ${VERDICTS[verdict].text}`;
    return item;
  });
  if (!items.length) items.push(Object.assign(document.createElement("li"), { textContent: "None: all candles here are final." }));
  document.getElementById("stretches").replaceChildren(...items);
  link(range);
}

function summary(found) {
  const counts = Object.keys(VERDICTS).map((verdict) => [verdict, found.filter((one) => one[2] === verdict).length]);
  const told = counts.filter(([, count]) => count).map(([verdict, count]) => `${count} × ${verdict}`);
  return told.length ? `stretches: ${told.join(", ")}` : "nothing missing";
}

function say(text) {
  document.getElementById("shown").textContent = text;
}

/* The links below lead to the shown range. */
function link(range) {
  const start = Math.max(0, Math.floor(range.start)), end = Math.ceil(range.end);
  const csv = document.getElementById("csv"), sql = document.getElementById("sql");
  const address = new URL(csv.href);
  address.searchParams.set("open_time__gte", start);
  address.searchParams.set("open_time__lt", end);
  csv.href = address;
  const query = new URL(sql.href);
  const text = query.searchParams.get("sql").replace(/open_time >= \d+/, `open_time >= ${start}`);
  query.searchParams.set("sql", text.replace(/open_time < \d+/, `open_time < ${end}`));
  sql.href = query;
}

/* Fetches the newest candles while they are in view. */
async function poll() {
  try {
    if (held && !document.hidden && held.end >= whole.end) await refresh();
  } finally {
    setTimeout(poll, POLL);
  }
}

async function refresh() {
  const before = held, known = held.candles.at(-1);
  const start = Math.max(held.start, known ? known[0] - 2 * stepOf(held.bucket) : held.start);
  const end = Math.min(whole.end + 200 * stepOf(held.bucket), start + MOST * stepOf(held.bucket));
  const wish = new URLSearchParams({ symbol, timeframe, start: instant(start), end: instant(end), bucket: held.bucket });
  const answer = await (await fetch(`${source}?${wish}`)).json();
  if (answer.exit || held !== before) return;
  const follows = axis.scrollPosition() > -3;
  whole.end = Math.max(whole.end, answer.span[1]);
  for (const row of answer.candles) put(row);
  held.stretches = [...cut(held.stretches, answer.start), ...answer.stretches.filter(([from]) => from < whole.end)];
  bands.stretches = held.stretches;
  bands.update();
  tell();
  if (follows && answer.candles.length && answer.candles.at(-1)[0] > (known ? known[0] : 0)) axis.scrollToRealTime();
}

function put(row) {
  while (held.times.length && held.times.at(-1) < row[0] && held.step) {
    const time = held.times.at(-1) + held.step;
    held.times.push(time);
    held.end = time + held.step;
    if (time < row[0]) candles.update({ time: time / 1000 });
  }
  const at = held.candles.findLastIndex((one) => one[0] <= row[0]);
  if (at >= 0 && held.candles[at][0] === row[0]) held.candles[at] = row;
  else held.candles.splice(at + 1, 0, row);
  candles.update(bar(row), row[0] < held.times.at(-1));
  volume.update({ time: row[0] / 1000, value: row[5] }, row[0] < held.times.at(-1));
}

const cut = (stretches, at) =>
  stretches.filter(([start]) => start < at).map(([start, end, verdict]) => [start, Math.min(end, at), verdict]);

function move(how) {
  const range = visible();
  if (!range) return;
  const span = range.end - range.start, middle = (range.start + range.end) / 2;
  const to = {
    back: () => [range.start - span / 4, range.end - span / 4],
    on: () => [range.start + span / 4, range.end + span / 4],
    closer: () => [middle - span / 3, middle + span / 3],
    farther: () => [middle - span * 0.75, middle + span * 0.75],
    oldest: () => [whole.start, whole.start + span],
    newest: () => [whole.end - span, whole.end],
    all: () => [whole.start, whole.end],
  }[how]();
  go({ start: to[0], end: to[1] });
}

/* Show a range, and fetch it if it is not held. */
function go(range) {
  const fits = gridFor(range.end - range.start);
  const width = (box.clientWidth - 60) / ((range.end - range.start) / stepOf(held.bucket));
  const grid = chosen || (width < LIMITS[0] || width > LIMITS[1] ? fits : held.bucket);
  const isHeld = grid === held.bucket && range.start >= held.start && range.end <= held.end;
  if (isHeld) return show(range);
  load.target = range;
  return load(range, grid);
}

const KEYS = { ArrowLeft: "back", ArrowRight: "on", "+": "closer", "=": "closer", "-": "farther", Home: "oldest", End: "newest", 0: "all" };

box.addEventListener("keydown", (event) => {
  const how = KEYS[event.key];
  if (!how || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  move(how);
});
for (const button of document.querySelectorAll("[data-move]")) button.addEventListener("click", () => move(button.dataset.move));
for (const button of buttons) button.addEventListener("click", () => choose(button.dataset.bucket));

/* A grid was chosen: show as many of its buckets as are easy to see, around the middle of the view. */
function choose(grid) {
  chosen = grid;
  for (const one of buttons) one.setAttribute("aria-pressed", String(one.dataset.bucket === grid));
  const range = visible(), most = (box.clientWidth - 60) / 3;
  if (!grid) return settle();
  const least = Math.min(120, most) * stepOf(grid);
  const span = Math.max(least, Math.min(range.end - range.start, most * stepOf(grid)));
  const isAtEnd = range.end >= whole.end - stepOf(held.bucket);
  const end = isAtEnd ? range.end : (range.start + range.end + span) / 2;
  load.target = { start: end - span, end };
  load(load.target, grid);
}

function goToDay() {
  const day = Date.parse(location.hash.slice(1));
  if (!/^#\d{4}-\d\d-\d\d$/.test(location.hash) || Number.isNaN(day)) return false;
  const span = Math.max(86400000, 120 * stepOf(grids[0]));
  const range = { start: day - span / 4, end: day + span * 1.25 };
  load.target = range;
  load(range, chosen || gridFor(range.end - range.start));
  box.scrollIntoView({ block: "nearest" });
  return true;
}

axis.subscribeVisibleLogicalRangeChange(moved);
addEventListener("hashchange", goToDay);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { paint(); if (held) mark(); });

paint();
if (whole.end > whole.start && !goToDay()) {
  const span = Math.min(whole.end - whole.start, 300 * stepOf(grids[0]));
  const range = { start: whole.end - span, end: whole.end };
  load.target = range;
  load(range, gridFor(span));
}
poll();
