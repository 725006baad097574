// The page: one client, one screen, one keyboard, and the buttons around them.

import { Client } from "./client.js";
import { buildActions, buildThemes, buildTouch, keyHelp } from "./controls.js";
import { Keyboard } from "./keyboard.js";
import { Meters } from "./meters.js";
import { $, IS_LOCAL, banner, figure, hideBanner, hint, listen, note, sentence, typedSeed, wishes } from "./page.js";
import { Screen } from "./screen.js";

const REWIND_FRAMES = 2;
const WINDOW = 4; // frames on their way at once; more would only grow the delay

const screen = new Screen($("canvas"), $("screen"));
const meters = new Meters();
const keyboard = new Keyboard((held, stamp) => {
  if (client.send("keys", { held, stamp })) meters.keysSent(stamp);
  if (held.length) hint("");
});
const client = new Client({
  welcome, started, state, picture, lost, ended,
  frame: answered,
  error: (reply) => { stopRewind(); note(reply.message, true); },
});

let world = null;
let paused = false;
let rewinding = false;
let pausedBeforeRewind = false;
let pausedByHiding = false;
let showAction = () => {};
let showTheme = () => {};

// --- from the server -------------------------------------------------------------------------------------------

function welcome(reply) {
  if (reply.world.name !== world?.name) describe(reply.world);
  hideBanner();
  showStart(reply.start);
  screen.drawBase64(reply.data);
  showFrame(reply.frame_index, -1);
  client.send("stream", { fps: world.fps, format: IS_LOCAL ? "rgb" : "png", window: WINDOW });
  if (paused) client.send("pause", { paused: true });
  keyboard.resend();
  if (reply.frame_index === 0) hint(matchMedia("(pointer: coarse)").matches ? "" : "Press the arrow keys or WASD");
  document.body.dataset.state = "playing";
}

function describe(description) {
  world = description;
  $("world-title").textContent = world.title;
  $("key-help").textContent = keyHelp(world);
  keyboard.bound = new Set(Object.values(world.key_bindings).flat(2));
  showAction = buildActions($("actions"), world);
  buildTouch($("pad"), $("extra"), world, keyboard);
  showTheme = buildThemes($("themes"), world.themes, (theme) => restart({ theme }));
  $("theme-picker").hidden = !world.themes.length;
  $("prompt-form").hidden = !world.starts.some((start) => start.caption);
}

function picture(frame) {
  if (rewinding) return;
  if (frame.format === "rgb") screen.drawRgb(frame.width, frame.height, frame.picture);
  else screen.drawPng(frame.picture);
  meters.frame(frame.stamp, frame.step_ms);
  keyboard.frame(frame.stamp);
  showFrame(frame.frame_index, frame.action);
}

// The one answer to a single step or to a rewind.
function answered(reply) {
  screen.drawBase64(reply.data);
  showFrame(reply.metrics.frame_index, reply.metrics.action ?? -1);
  if (!rewinding) return;
  if (reply.metrics.rewindable > 0) setTimeout(goBack, 1000 / world.fps);
  else note("This is as far back as it goes.");
}

function started(reply) {
  screen.drawBase64(reply.data);
  showFrame(reply.metrics.frame_index, -1);
  showStart(reply.start);
  if (paused) togglePause();
}

function state(reply) {
  paused = reply.paused;
  keyboard.setRunning(!paused && reply.streaming);
  if (paused) meters.forgetSent();
  $("pause").ariaPressed = String(paused && !rewinding);
  $("pause-label").textContent = paused && !rewinding ? "Play" : "Pause";
  hint(rewinding ? "Rewinding" : paused ? "Paused" : "");
}

function lost(reason) {
  document.body.dataset.state = "lost";
  keyboard.setRunning(false);
  stopRewind();
  banner(reason ? `${reason}. Trying again…` : "The connection to the server was lost. Trying again…");
}

function ended(reply) {
  document.body.dataset.state = "ended";
  const mine = reply.code === "taken_over" ? "Play here" : "Try again";
  banner(sentence(reply.message), mine, () => (reply.code === "wrong_version" ? location.reload() : client.connect()));
}

// --- to the server ---------------------------------------------------------------------------------------------

function togglePause() {
  client.send("pause", { paused: !paused });
}

function stepOnce() {
  if (!paused) client.send("pause", { paused: true });
  client.send("step_once");
}

function restart(wishes = {}) {
  const seed = typedSeed();
  if (seed !== null) client.send("restart", { ...wishes, ...seed });
}

function startRewind() {
  if (rewinding || document.body.dataset.state !== "playing") return;
  rewinding = true;
  pausedBeforeRewind = paused;
  $("rewind").ariaPressed = "true";
  client.send("pause", { paused: true });
  goBack();
}

function goBack() {
  if (rewinding) client.send("rewind", { frames: REWIND_FRAMES });
}

function stopRewind() {
  if (!rewinding) return;
  rewinding = false;
  $("rewind").ariaPressed = "false";
  client.send("pause", { paused: pausedBeforeRewind });
}

// --- what the player sees --------------------------------------------------------------------------------------

function showFrame(index, action) {
  $("frame-index").textContent = index;
  $("canvas").dataset.frame = index;
  $("canvas").dataset.action = world.action_names[action] ?? "";
  showAction(action);
}

function showStart(start) {
  $("caption").textContent = start.caption;
  $("canvas").ariaLabel = `The dreamed world: ${start.caption}. Use the keys named on this page to play.`;
  $("seed").placeholder = `${start.seed} now; empty: a new one`;
  note(start.chosen ? `This start was picked ${start.chosen}` : "");
  showTheme(start.theme);
}

function showMeters() {
  const { fps, latency, stepMs } = meters;
  figure("fps", fps ? fps.toFixed(0) : "–", world && fps ? `of ${world.fps}` : "");
  figure("latency", latency === null ? "–" : latency.toFixed(0), latency === null ? "" : "ms");
  figure("step-ms", stepMs ? stepMs.toFixed(1) : "–", stepMs ? "ms" : "");
}

// --- keys and buttons ------------------------------------------------------------------------------------------

const SHORTCUTS = { KeyP: togglePause, KeyN: stepOnce, KeyR: () => restart(), Backspace: startRewind };

listen(keyboard, SHORTCUTS);
addEventListener("keyup", (event) => {
  if (event.code === "Backspace") stopRewind();
});
addEventListener("blur", stopRewind);
addEventListener("pagehide", () => client.leave());
addEventListener("pageshow", (event) => { if (event.persisted) client.connect(); });
document.addEventListener("visibilitychange", () => {
  if (document.hidden && !paused) { pausedByHiding = true; client.send("pause", { paused: true }); }
  else if (!document.hidden && pausedByHiding) { pausedByHiding = false; client.send("pause", { paused: false }); }
});
$("pause").addEventListener("click", togglePause);
$("step").addEventListener("click", stepOnce);
$("restart").addEventListener("click", () => restart());
$("rewind").addEventListener("pointerdown", startRewind);
for (const end of ["pointerup", "pointerleave", "pointercancel"]) $("rewind").addEventListener(end, stopRewind);
$("rewind").addEventListener("click", (event) => {
  if (event.detail === 0) client.send("rewind", { frames: world.fps }); // by keyboard: one second back
});
$("seed").addEventListener("keydown", (event) => {
  if (event.key === "Enter") { restart(); $("canvas").focus(); }
});
$("prompt-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const prompt = $("prompt").value.trim();
  restart(prompt ? { prompt } : {});
  $("canvas").focus();
});
$("world").addEventListener("change", () => { client.open({ world: $("world").value }); $("canvas").focus(); });

// --- the beginning ---------------------------------------------------------------------------------------------

async function offerWorlds() {
  const { worlds } = await (await fetch("/worlds")).json();
  $("world").replaceChildren(...worlds.map(({ name, title }) => new Option(title, name)));
  $("world-picker").hidden = worlds.length < 2;
}

setInterval(showMeters, 250);
banner("Opening the world…");
offerWorlds().catch(() => {});
client.open(wishes());
