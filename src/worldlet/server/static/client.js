// The socket: one session, typed messages from protocol.js, binary frames, and coming back after a lost connection.

import {
  CLIENT_MESSAGES, HEADER, HEADER_BYTES, PAIR_EVENTS, PAIR_HEADER, PAIR_HEADER_BYTES, PICTURE_FORMATS, VERSION,
} from "./protocol.js";

const GETTERS = {
  uint8: "getUint8", uint16: "getUint16", uint32: "getUint32", float32: "getFloat32", float64: "getFloat64",
};
const RETRY_MS = [300, 700, 1500, 3000, 5000];

// Build a message and refuse fields that the schema does not know.
export function message(type, fields = {}) {
  const { required, optional } = CLIENT_MESSAGES[type];
  for (const name of Object.keys(fields)) {
    if (!required.includes(name) && !optional.includes(name)) throw new Error(`${type} has no field ${name}`);
  }
  for (const name of required) {
    if (fields[name] === undefined) throw new Error(`${type} needs the field ${name}`);
  }
  return JSON.stringify({ type, ...fields });
}

// Split a binary message into its header's fields and its picture.
export function readFrame(buffer) {
  return read(buffer, HEADER, HEADER_BYTES);
}

// The same for a dream beside its real game, whose picture is the real frame above the dreamed one.
export function readPair(buffer) {
  const pair = read(buffer, PAIR_HEADER, PAIR_HEADER_BYTES);
  pair.event = PAIR_EVENTS[pair.event];
  return pair;
}

function read(buffer, header, size) {
  const view = new DataView(buffer);
  const frame = {};
  for (const [name, { kind, offset }] of Object.entries(header)) frame[name] = view[GETTERS[kind]](offset, true);
  frame.format = PICTURE_FORMATS[frame.format];
  frame.picture = new Uint8Array(buffer, size);
  return frame;
}

export class Client {
  // `on`: {welcome, frame, picture, started, state, error, lost, ended}, called with what arrived. `base`: below which
  // path the sessions are, `reader`: what splits their binary messages.
  constructor(on, base = "", reader = readFrame) {
    this.on = on;
    this.base = base;
    this.reader = reader;
    this.request = {};
    this.sessionId = null;
    this.socket = null;
    this.tries = 0;
    this.timer = 0;
    this.ending = null;
  }

  // Open a session ({world, seed, theme, prompt}) and play it.
  async open(request) {
    this.request = request;
    this.leave();
    await this.connect();
  }

  send(type, fields) {
    if (this.socket?.readyState !== WebSocket.OPEN) return false;
    this.socket.send(message(type, fields));
    return true;
  }

  // Free the session; also works while the page is being left.
  leave() {
    clearTimeout(this.timer);
    if (this.socket) {
      this.socket.onclose = null;
      this.socket.close();
      this.socket = null;
    }
    if (this.sessionId) navigator.sendBeacon(`${this.base}/session/${this.sessionId}/close`);
    this.sessionId = null;
  }

  async connect() {
    clearTimeout(this.timer);
    this.ending = null;
    try {
      if (this.sessionId === null) this.sessionId = await this.create();
    } catch (error) {
      this.retry(error.message);
      return;
    }
    if (this.sessionId === null) return;
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}${this.base}/ws/${this.sessionId}`);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => this.send("hello", { version: VERSION });
    socket.onmessage = (event) => this.receive(event.data);
    socket.onclose = () => this.closed();
    this.socket = socket;
  }

  async create() {
    const response = await fetch(`${this.base}/session/create`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(this.request),
    });
    const reply = await response.json();
    if (response.ok) return reply.session_id;
    if (response.status === 503) throw new Error(reply.message);
    this.on.ended(reply);
    return null;
  }

  receive(data) {
    if (data instanceof ArrayBuffer) {
      const frame = this.reader(data);
      this.send("ack", { sequence: frame.sequence });
      this.on.picture(frame);
      return;
    }
    const reply = JSON.parse(data);
    if (reply.type === "welcome") this.tries = 0;
    if (reply.type === "error" && ["unknown_session", "taken_over", "wrong_version"].includes(reply.code)) {
      this.ending = reply;
    }
    this.on[reply.type]?.(reply);
  }

  closed() {
    this.socket = null;
    if (this.ending?.code === "taken_over" || this.ending?.code === "wrong_version") {
      this.on.ended(this.ending);
      return;
    }
    if (this.ending?.code === "unknown_session") this.sessionId = null;
    this.retry("");
  }

  retry(reason) {
    const wait = RETRY_MS[Math.min(this.tries, RETRY_MS.length - 1)];
    this.tries += 1;
    this.on.lost(reason);
    this.timer = setTimeout(() => this.connect(), wait);
  }
}
