// What every page of ours does the same way: notes and banners, held keys and shortcuts, wishes in the address.

export const IS_LOCAL = ["localhost", "127.0.0.1", "[::1]"].includes(location.hostname);
export const $ = (id) => document.getElementById(id);

// --- what the player reads -------------------------------------------------------------------------------------

export function figure(id, value, unit) {
  const small = document.createElement("small");
  small.textContent = unit ? ` ${unit}` : "";
  $(id).replaceChildren(value, small);
}

export function note(text, bad = false) {
  $("note").textContent = text ? sentence(text) : "";
  $("note").classList.toggle("bad", bad);
}

export function hint(text) {
  $("overlay").textContent = text;
  $("overlay").hidden = !text;
}

export function banner(text, label = "", act = null) {
  $("banner-text").textContent = text;
  $("banner-button").textContent = label;
  $("banner-button").hidden = !act;
  $("banner-button").onclick = () => { hideBanner(); act?.(); };
  $("banner").hidden = false;
}

export function hideBanner() {
  $("banner").hidden = true;
}

export function sentence(text) {
  const ended = /[.!?…]$/.test(text) ? text : `${text}.`;
  return ended[0].toUpperCase() + ended.slice(1);
}

// --- keys ------------------------------------------------------------------------------------------------------

function typing(target) {
  return target instanceof HTMLInputElement || target instanceof HTMLSelectElement;
}

// Held keys go to the world; of the others, `shortcuts` (code -> function) act at once, those in `repeats` repeatedly.
export function listen(keyboard, shortcuts, repeats = ["KeyN"]) {
  addEventListener("keydown", (event) => {
    if (typing(event.target) || event.ctrlKey || event.metaKey || event.altKey) return;
    // A focused button keeps its own keys, so that the page works without a mouse.
    if (event.target instanceof HTMLButtonElement && ["Space", "Enter"].includes(event.code)) return;
    if (keyboard.bound.has(event.code)) {
      event.preventDefault();
      if (!event.repeat) keyboard.press(event.code);
    } else if (shortcuts[event.code]) {
      event.preventDefault();
      if (!event.repeat || repeats.includes(event.code)) shortcuts[event.code]();
    }
  });
  addEventListener("keyup", (event) => keyboard.release(event.code));
  addEventListener("blur", () => keyboard.releaseAll());
  // After a click the keys belong to the world again.
  addEventListener("click", (event) => {
    const button = event.target.closest?.("button");
    if (button && event.detail > 0) { button.blur(); $("canvas").focus({ preventScroll: true }); }
  });
}

// --- seeds and wishes ------------------------------------------------------------------------------------------

// Return {seed}, {} where none is typed, or null after saying what is wrong.
export function typedSeed() {
  const typed = $("seed").value.trim();
  if (typed && !/^\d{1,15}$/.test(typed)) {
    note("A seed is a whole number of up to 15 digits.", true);
    return null;
  }
  return typed ? { seed: Number(typed) } : {};
}

// ?world=platformer&seed=7&theme=snow&prompt=... begins there, so that a start can be sent as a link.
export function wishes() {
  const query = new URLSearchParams(location.search);
  const request = {};
  for (const name of ["world", "theme", "prompt"]) if (query.get(name)) request[name] = query.get(name);
  if (/^\d{1,15}$/.test(query.get("seed") ?? "")) request.seed = Number(query.get("seed"));
  return request;
}
