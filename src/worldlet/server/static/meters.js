// Frames a second and the time from a key to its first picture, measured where they are felt: in the page.

const WINDOW_MS = 1000;
const KEPT = 9;

export class Meters {
  constructor() {
    this.arrivals = [];
    this.sent = new Map();
    this.latencies = [];
    this.stepMs = 0;
  }

  keysSent(stamp) {
    this.sent.set(stamp, performance.now());
  }

  frame(stamp, stepMs) {
    const now = performance.now();
    this.arrivals.push(now);
    this.stepMs = this.stepMs ? 0.9 * this.stepMs + 0.1 * stepMs : stepMs;
    const since = this.sent.get(stamp);
    if (since !== undefined) this.latencies = [...this.latencies, now - since].slice(-KEPT);
    for (const old of this.sent.keys()) if (old <= stamp) this.sent.delete(old);
  }

  // Changes made while the world stood still were not waited for.
  forgetSent() {
    this.sent.clear();
  }

  get fps() {
    const now = performance.now();
    this.arrivals = this.arrivals.filter((at) => now - at <= WINDOW_MS);
    const [first] = this.arrivals;
    const span = (this.arrivals.at(-1) ?? 0) - (first ?? 0);
    return span > 0 ? (1000 * (this.arrivals.length - 1)) / span : 0;
  }

  // The middle one of the last few, in milliseconds, or null before the first key.
  get latency() {
    const sorted = [...this.latencies].sort((a, b) => a - b);
    return sorted.length ? sorted[Math.floor(sorted.length / 2)] : null;
  }
}
