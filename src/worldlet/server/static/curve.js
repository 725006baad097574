// The divergence of the last seconds: likeness above, the hero's distance below, a line where the dream was synced.

const KEPT = 450;
const PSNR = { least: 10, most: 50, ticks: [20, 30, 40] };
const HERO = { least: 0, most: 32, ticks: [16] };
const GUTTER = 28;
const PAD = 6;
const APART = 12; // pixels between two numbers of a scale

export class Curve {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.withHero = false;
    this.points = [];
    this.waiting = false;
    new ResizeObserver(() => this.later()).observe(canvas);
    matchMedia("(prefers-color-scheme: light)").addEventListener("change", () => this.later());
  }

  // `hero`: pixels, Infinity where he is lost, NaN where nobody knows. `mark`: whether the dream begins here.
  add(psnr, hero, mark) {
    if (!Number.isNaN(hero)) this.withHero = true;
    this.points.push({ psnr, hero, mark });
    if (this.points.length > KEPT) this.points.shift();
    this.later();
  }

  clear(withHero = false) {
    this.points = [];
    this.withHero = withHero;
    this.later();
  }

  // However many frames arrive between two pictures of the screen, it is drawn once.
  later() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => { this.waiting = false; this.draw(); });
  }

  draw() {
    const ratio = window.devicePixelRatio || 1;
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (this.canvas.width !== width * ratio) this.canvas.width = width * ratio;
    if (this.canvas.height !== height * ratio) this.canvas.height = height * ratio;
    const colours = getComputedStyle(this.canvas);
    const colour = (name) => colours.getPropertyValue(name).trim();
    this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.context.clearRect(0, 0, width, height);
    const split = this.withHero ? Math.round(height * 0.64) : height;
    const strips = [{ ...PSNR, value: (point) => point.psnr, colour: colour("--psnr"), top: PAD, foot: split - PAD }];
    if (this.withHero) {
      strips.push({ ...HERO, value: (point) => point.hero, colour: colour("--hero"), top: split, foot: height - PAD });
    }
    for (const strip of strips) this.drawTicks(strip, width, colour("--line"), colour("--quiet"));
    this.drawMarks(width, height, colour("--mark"));
    for (const strip of strips) this.drawLine(strip, width);
  }

  x(place, width) {
    return GUTTER + (place / (KEPT - 1)) * (width - GUTTER - PAD);
  }

  y(value, { least, most, top, foot }) {
    const share = (Math.min(Math.max(value, least), most) - least) / (most - least);
    return foot - share * (foot - top);
  }

  drawTicks(strip, width, line, quiet) {
    const { context } = this;
    Object.assign(context, { font: "11px system-ui, sans-serif", textAlign: "right", textBaseline: "middle" });
    let last = Infinity;
    for (const tick of strip.ticks) {
      const y = Math.round(this.y(tick, strip)) + 0.5;
      if (last - y < APART) continue;
      last = y;
      Object.assign(context, { strokeStyle: line, fillStyle: quiet, lineWidth: 1 });
      context.beginPath();
      context.moveTo(GUTTER, y);
      context.lineTo(width - PAD, y);
      context.stroke();
      context.fillText(tick, GUTTER - 6, y);
    }
  }

  drawMarks(width, height, colour) {
    const { context } = this;
    Object.assign(context, { strokeStyle: colour, lineWidth: 1 });
    context.setLineDash([3, 3]);
    context.beginPath();
    this.points.forEach(({ mark }, place) => {
      if (!mark) return;
      context.moveTo(this.x(place, width), PAD);
      context.lineTo(this.x(place, width), height - PAD);
    });
    context.stroke();
    context.setLineDash([]);
  }

  // Interrupted where there is no value, and where the dream begins anew.
  drawLine(strip, width) {
    const { context } = this;
    Object.assign(context, { strokeStyle: strip.colour, lineWidth: 2, lineJoin: "round" });
    context.beginPath();
    let drawing = false;
    this.points.forEach((point, place) => {
      const value = strip.value(point);
      if (!Number.isFinite(value)) { drawing = false; return; }
      const at = [this.x(place, width), this.y(value, strip)];
      if (drawing && !point.mark) context.lineTo(...at);
      else context.moveTo(...at);
      drawing = true;
    });
    context.stroke();
  }
}
