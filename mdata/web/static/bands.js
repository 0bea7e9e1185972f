/* How each verdict looks in the chart: a colour, and a pattern that says the same without colour. */
"use strict";

const VERDICTS = {
  empty: { light: "#3b7f68", dark: "#7cc4aa", pattern: "dots", text: "proven empty" },
  provisional: { light: "#8a6a10", dark: "#d9b04c", pattern: "rising", text: "provisional" },
  "in doubt": { light: "#9c4a12", dark: "#eaa06a", pattern: "crossed", text: "in doubt: not confirmed by a second answer" },
  unobtainable: { light: "#555c66", dark: "#aab4bf", pattern: "level", text: "unobtainable" },
  unknown: { light: "#b3261e", dark: "#ff8f85", pattern: "falling", text: "unknown" },
  lost: { light: "#7d1d6f", dark: "#e08ad8", pattern: "upright", text: "lost" },
};

const isDark = () => matchMedia("(prefers-color-scheme: dark)").matches;
const colourOf = (verdict) => VERDICTS[verdict][isDark() ? "dark" : "light"];

/* A repeated tile of 8 × 8 CSS pixels; `ratio` is canvas pixels per CSS pixel. */
function patternOf(context, verdict, ratio) {
  const size = 8 * ratio, tile = document.createElement("canvas"), pen = tile.getContext("2d");
  tile.width = tile.height = size;
  pen.strokeStyle = pen.fillStyle = colourOf(verdict);
  pen.globalAlpha = 0.18;
  pen.fillRect(0, 0, size, size);
  pen.globalAlpha = 0.75;
  pen.lineWidth = ratio;
  const line = (...points) => {
    pen.beginPath();
    pen.moveTo(points[0] * size, points[1] * size);
    pen.lineTo(points[2] * size, points[3] * size);
    pen.stroke();
  };
  const kind = VERDICTS[verdict].pattern;
  if (kind === "dots") pen.fillRect(size / 2 - ratio / 2, size / 2 - ratio / 2, 1.5 * ratio, 1.5 * ratio);
  if (kind === "rising" || kind === "crossed") line(0, 1, 1, 0);
  if (kind === "falling" || kind === "crossed") line(0, 0, 1, 1);
  if (kind === "level") line(0, 0.5, 1, 0.5);
  if (kind === "upright") line(0.5, 0, 0.5, 1);
  return context.createPattern(tile, "repeat");
}

/* Shades stretches behind the candles; `place` returns the x of a time, in CSS pixels. */
class Bands {
  constructor(place) {
    this.stretches = [];
    this._place = place;
    this._patterns = new Map();
    const draw = (target) => target.useBitmapCoordinateSpace((scope) => this._draw(scope));
    this._views = [{ zOrder: () => "bottom", renderer: () => ({ draw }) }];
  }

  attached({ requestUpdate }) {
    this.update = () => {
      this._patterns.clear();
      requestUpdate();
    };
  }

  paneViews() {
    return this._views;
  }

  _draw({ context, bitmapSize, horizontalPixelRatio: ratio }) {
    for (const [start, end, verdict] of this.stretches) {
      const from = this._place(start) * ratio, to = this._place(end) * ratio;
      if (to < 0 || from > bitmapSize.width) continue;
      if (!this._patterns.has(verdict)) this._patterns.set(verdict, patternOf(context, verdict, ratio));
      context.fillStyle = this._patterns.get(verdict);
      const left = Math.max(0, Math.floor(from)), right = Math.min(bitmapSize.width, to);
      context.fillRect(left, 0, Math.max(2 * ratio, right - left), bitmapSize.height);
    }
  }
}

function paintSwatches() {
  for (const swatch of document.querySelectorAll("canvas.swatch")) {
    const context = swatch.getContext("2d");
    context.clearRect(0, 0, swatch.width, swatch.height);
    context.fillStyle = patternOf(context, swatch.dataset.verdict, 1);
    context.fillRect(0, 0, swatch.width, swatch.height);
  }
}
