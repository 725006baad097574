// Held keys, from the keyboard and from touch buttons alike. What they mean is decided by the server.

export class Keyboard {
  // `bound`: codes that the world uses. `send(held, stamp)`: called with all held codes, oldest first, at each change.
  constructor(send) {
    this.send = send;
    this.bound = new Set();
    this.held = [];
    this.stamp = 0;
    this.seen = 0;
    this.pressedAt = new Map();
    this.released = new Set();
    this.waits = false;
  }

  press(code) {
    this.released.delete(code);
    if (this.held.includes(code)) return;
    this.held.push(code);
    this.pressedAt.set(code, this.change());
  }

  // A tap shorter than a frame still counts for one frame: its release waits until a frame has obeyed the press.
  release(code) {
    if (!this.held.includes(code)) return;
    if (this.waits && this.pressedAt.get(code) > this.seen) {
      this.released.add(code);
      return;
    }
    this.drop([code]);
  }

  releaseAll() {
    this.released.clear();
    if (this.held.length) this.drop([...this.held]);
  }

  // A frame has come that obeys the keys of this stamp.
  frame(stamp) {
    this.seen = Math.max(this.seen, stamp);
    const due = [...this.released].filter((code) => this.pressedAt.get(code) <= this.seen);
    if (due.length) this.drop(due);
  }

  // While the world stands still no frame will come, so nothing waits for one.
  setRunning(running) {
    this.waits = running;
    if (!running && this.released.size) this.drop([...this.released]);
  }

  resend() {
    this.change();
  }

  drop(codes) {
    this.held = this.held.filter((code) => !codes.includes(code));
    for (const code of codes) this.released.delete(code);
    this.change();
  }

  change() {
    this.stamp += 1;
    this.send([...this.held], this.stamp);
    return this.stamp;
  }
}

const ARROWS = { ArrowUp: "↑", ArrowDown: "↓", ArrowLeft: "←", ArrowRight: "→", Space: "Space" };

// "KeyD" -> "D", "ArrowUp" -> "↑".
export function keyLabel(code) {
  return ARROWS[code] ?? code.replace(/^(Key|Digit)/, "");
}
