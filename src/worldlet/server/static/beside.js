// The page of dream and reality: one client whose frames are pairs, two screens, one keyboard, and the curve below.

import { Client, readPair } from "./client.js";
import { buildActions, buildThemes, buildTouch, keyHelp } from "./controls.js";
import { Curve } from "./curve.js";
import { Keyboard, keyLabel } from "./keyboard.js";
import { Meters } from "./meters.js";
import { $, IS_LOCAL, banner, figure, hideBanner, hint, listen, note, sentence, typedSeed, wishes } from "./page.js";
import { PairOfScreens } from "./screen.js";

const WINDOW = 4; // frames on their way at once; more would only grow the delay
const SHORTCUTS = { KeyR: sync, KeyP: togglePause, KeyN: stepOnce, KeyV: swap, KeyG: () => restart() };

const screens = new PairOfScreens([$("canvas"), $("real-screen")], [$("dream"), $("dream-screen")]);
const curve = new Curve($("curve"));
const meters = new Meters();
const keyboard = new Keyboard((held, stamp) => {
  if (client.send("keys", { held, stamp })) meters.keysSent(stamp);
  if (held.length) hint("");
});
const client = new Client({
  welcome, started, state, picture, lost, ended, frame: answered,
  error: (reply) => { note(reply.message, true); failed = true; },
}, "/beside", readPair);

let world = null;
let paused = false;
let failed = false; // the real game stopped: its stream has to be asked for again
let pausedByHiding = false;
let level = null;
let index = -1;
let age = -1;
let showAction = () => {};
let showTheme = () => {};

// --- from the server -------------------------------------------------------------------------------------------

function welcome(reply) {
  if (reply.world.name !== world?.name) describe(reply.world);
  hideBanner();
  showStart(reply.start);
  screens.drawBase64(reply.data);
  stream();
  if (paused) client.send("pause", { paused: true });
  keyboard.resend();
  if (reply.frame_index === 0) hint(matchMedia("(pointer: coarse)").matches ? "" : "Play with the keys below");
  document.body.dataset.state = "playing";
}

function stream() {
  failed = false;
  client.send("stream", { fps: world.fps, format: IS_LOCAL ? "rgb" : "png", window: WINDOW });
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
  // A key that the game itself needs is no shortcut: its button says so.
  for (const code of Object.keys(SHORTCUTS)) {
    for (const key of document.querySelectorAll(".buttons kbd")) {
      if (key.textContent === keyLabel(code)) key.hidden = keyboard.bound.has(code);
    }
  }
}

function picture(pair) {
  if (pair.format === "rgb") screens.drawRgb(pair.width, pair.height, pair.picture);
  else screens.drawPng(pair.picture);
  meters.frame(pair.stamp, pair.step_ms);
  keyboard.frame(pair.stamp);
  showPair(pair.frame_index, pair.action, pair);
}

// The one answer to a single step or to a sync.
function answered(reply) {
  const { metrics } = reply;
  screens.drawBase64(reply.data);
  showPair(metrics.frame_index, metrics.action ?? -1, figures(metrics));
}

function started(reply) {
  curve.clear(curve.withHero);
  screens.drawBase64(reply.data);
  showStart(reply.start);
  showPair(reply.metrics.frame_index, -1, figures(reply.metrics));
  if (failed) stream();
  if (paused) togglePause();
}

function figures(metrics) {
  return { ...metrics, hero_pixels: metrics.hero_lost ? Infinity : metrics.hero_pixels ?? NaN };
}

function state(reply) {
  paused = reply.paused;
  keyboard.setRunning(!paused && reply.streaming);
  if (paused) meters.forgetSent();
  $("pause").ariaPressed = String(paused);
  $("pause-label").textContent = paused ? "Play" : "Pause";
  hint(paused ? "Paused" : "");
}

function lost(reason) {
  document.body.dataset.state = "lost";
  keyboard.setRunning(false);
  banner(reason ? `${reason}. Trying again…` : "The connection to the server was lost. Trying again…");
}

function ended(reply) {
  document.body.dataset.state = "ended";
  const mine = reply.code === "taken_over" ? "Play here" : "Try again";
  banner(sentence(reply.message), mine, () => (reply.code === "wrong_version" ? location.reload() : client.connect()));
}

// --- to the server ---------------------------------------------------------------------------------------------

function sync() {
  client.send("sync");
}

function togglePause() {
  client.send("pause", { paused: !paused });
}

function stepOnce() {
  if (!paused) client.send("pause", { paused: true });
  client.send("step_once");
}

function restart(request = {}) {
  const seed = typedSeed();
  if (seed !== null) client.send("restart", { ...request, ...seed });
}

function swap() {
  const swapped = $("pair").classList.toggle("swapped");
  $("swap").ariaPressed = String(swapped);
}

// --- what the player sees --------------------------------------------------------------------------------------

function showPair(now, action, { age: dreamed, psnr_db: psnr, hero_pixels: hero, level_seed: seed, event }) {
  const begins = dreamed === 0 || dreamed < age || now < index;
  curve.add(psnr, hero, begins);
  [index, age] = [now, dreamed];
  if (seed !== level) showLevel(seed);
  $("age").textContent = `${dreamed} frames since it saw the game`;
  figure("psnr", psnr.toFixed(1), "dB");
  $("hero-meter").hidden = $("hero-legend").hidden = !curve.withHero;
  if (Number.isFinite(hero)) figure("hero", hero.toFixed(0), "px");
  else figure("hero", hero === Infinity ? "lost" : "–", "");
  $("canvas").dataset.frame = now;
  $("dream").dataset.age = dreamed;
  showAction(action);
  if (event === "end") hint("The level is over");
  else if (event === "start" && !paused) hint("");
}

function showLevel(seed) {
  level = seed;
  $("level").textContent = `level ${seed}`;
  $("seed").placeholder = `${seed} now; empty: a new one`;
}

function showStart(start) {
  $("caption").textContent = start.caption ?? "";
  showLevel(start.level_seed);
  note(`This level was picked ${start.chosen}`);
  showTheme(start.theme);
}

function showMeters() {
  const { fps, latency } = meters;
  figure("fps", fps ? fps.toFixed(0) : "–", world && fps ? `of ${world.fps}` : "");
  figure("latency", latency === null ? "–" : latency.toFixed(0), latency === null ? "" : "ms");
}

// --- keys and buttons ------------------------------------------------------------------------------------------

listen(keyboard, SHORTCUTS);
addEventListener("pagehide", () => client.leave());
addEventListener("pageshow", (event) => { if (event.persisted) client.connect(); });
document.addEventListener("visibilitychange", () => {
  if (document.hidden && !paused) { pausedByHiding = true; client.send("pause", { paused: true }); }
  else if (!document.hidden && pausedByHiding) { pausedByHiding = false; client.send("pause", { paused: false }); }
});
$("sync").addEventListener("click", sync);
$("pause").addEventListener("click", togglePause);
$("step").addEventListener("click", stepOnce);
$("swap").addEventListener("click", swap);
$("restart").addEventListener("click", () => restart());
$("seed").addEventListener("keydown", (event) => {
  if (event.key === "Enter") { restart(); $("canvas").focus(); }
});
$("world").addEventListener("change", () => { client.open({ world: $("world").value }); $("canvas").focus(); });

// --- the beginning ---------------------------------------------------------------------------------------------

async function offerWorlds() {
  const { worlds } = await (await fetch("/beside/worlds")).json();
  $("world").replaceChildren(...worlds.map(({ name, title }) => new Option(title, name)));
  $("world-picker").hidden = worlds.length < 2;
}

setInterval(showMeters, 250);
banner("Opening the game and the dream…");
offerWorlds().catch(() => {});
client.open(wishes());
