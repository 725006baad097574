// The page on which a person records the real game: keys out, frames in, and how much is recorded.

import { readFrame } from "./client.js";
import { buildActions, buildTouch, keyHelp } from "./controls.js";
import { Keyboard } from "./keyboard.js";
import { Meters } from "./meters.js";
import { $, banner, figure, hideBanner, hint, listen, note, sentence } from "./page.js";
import { Screen } from "./screen.js";

const RETRY_MS = 1000;

const screen = new Screen($("canvas"), $("screen"));
const meters = new Meters();
const keyboard = new Keyboard((held, stamp) => {
  if (send("keys", { held, stamp })) meters.keysSent(stamp);
  if (held.length && waiting) setPaused(false); // the first key begins the recording
});

let socket = null;
let game = null;
let status = null;
let waiting = true;
let showAction = () => {};

// --- the socket ------------------------------------------------------------------------------------------------

function connect() {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  socket = new WebSocket(`${scheme}://${location.host}/record`);
  socket.binaryType = "arraybuffer";
  socket.onmessage = ({ data }) => (data instanceof ArrayBuffer ? picture(readFrame(data)) : receive(JSON.parse(data)));
  socket.onclose = closed;
}

function send(type, fields = {}) {
  if (socket?.readyState !== WebSocket.OPEN) return false;
  socket.send(JSON.stringify({ type, ...fields }));
  return true;
}

function receive(reply) {
  if (reply.type === "game") opened(reply);
  if (reply.type === "status") showStatus(reply);
  if (reply.type === "error" && reply.code === "taken_over") {
    socket.onclose = null;
    document.body.dataset.state = "ended";
    banner(sentence(reply.message), "Play here", connect);
  } else if (reply.type === "error") {
    note(reply.message, true);
  }
}

function closed() {
  keyboard.setRunning(false);
  light(false);
  if (status?.finished) return;
  document.body.dataset.state = "lost";
  banner("The recorder does not answer. What was played is saved. Trying again…");
  setTimeout(connect, RETRY_MS);
}

// --- from the server -------------------------------------------------------------------------------------------

function opened(reply) {
  game = reply;
  hideBanner();
  $("game-title").textContent = game.env_id;
  $("caption").textContent = `is recorded into ${game.folder}`;
  $("key-help").textContent = keyHelp(game);
  keyboard.bound = new Set(Object.values(game.key_bindings).flat(2));
  showAction = buildActions($("actions"), game);
  buildTouch($("pad"), $("extra"), game, keyboard);
  screen.drawBase64(game.data);
  waiting = true;
  showStatus(reply.status);
  document.body.dataset.state = "ready";
}

function picture(frame) {
  send("ack", { sequence: frame.sequence });
  screen.drawRgb(frame.width, frame.height, frame.picture);
  meters.frame(frame.stamp, frame.step_ms);
  keyboard.frame(frame.stamp);
  $("canvas").dataset.frame = frame.frame_index;
  showAction(frame.action);
}

function showStatus(reply) {
  status = reply;
  const running = !status.paused && !status.finished;
  if (running) waiting = false;
  keyboard.setRunning(running);
  if (!running) meters.forgetSent();
  light(running);
  const recorded = status.frames + status.pending;
  figure("frames", recorded.toLocaleString("en"), `of ${status.goal.toLocaleString("en")}`);
  figure("left", minutes((status.goal - recorded) / game.fps), "");
  $("progress").value = Math.min(1, recorded / status.goal);
  $("pause").ariaPressed = String(status.paused);
  $("pause-label").textContent = status.paused ? "Record" : "Pause";
  for (const id of ["pause", "new-level", "discard", "finish"]) $(id).disabled = status.finished;
  if (status.note) note(status.note);
  hint(status.finished ? "Saved" : waiting ? "Press a key of the game to begin" : status.paused ? "Paused" : "");
  document.body.dataset.recording = String(running);
  document.body.dataset.saved = status.frames;
  if (status.finished) document.body.dataset.state = "ended";
}

function light(on) {
  $("lamp").classList.toggle("on", on);
  $("lamp").textContent = on ? "Recording" : "Not recording";
}

function minutes(seconds) {
  if (seconds <= 0) return "done";
  return seconds < 90 ? `${Math.ceil(seconds)} s` : `${Math.round(seconds / 60)} min`;
}

// --- keys and buttons ------------------------------------------------------------------------------------------

function setPaused(paused) {
  if (!paused) waiting = false;
  send("pause", { paused });
}

function togglePause() {
  if (status) setPaused(!status.paused);
}

listen(keyboard, {
  KeyP: togglePause,
  KeyN: () => send("new_level"),
  Backspace: () => send("discard"),
}, []);
// Nobody plays in a window that nobody looks at.
addEventListener("blur", () => { if (status && !status.paused) setPaused(true); });
document.addEventListener("visibilitychange", () => { if (document.hidden && status && !status.paused) setPaused(true); });

$("pause").addEventListener("click", togglePause);
$("new-level").addEventListener("click", () => send("new_level"));
$("discard").addEventListener("click", () => send("discard"));
$("finish").addEventListener("click", () => send("finish"));

setInterval(() => {
  figure("fps", meters.fps ? meters.fps.toFixed(0) : "–", game && meters.fps ? `of ${game.fps}` : "");
  figure("latency", meters.latency === null ? "–" : meters.latency.toFixed(0), meters.latency === null ? "" : "ms");
}, 250);
banner("Opening the game…");
connect();
