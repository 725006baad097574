// What the page builds from a world's description: the strip of actions, the touch buttons, the theme chips.

import { keyLabel } from "./keyboard.js";

const ARROW = { left: "←", right: "→", up: "↑", down: "↓" };

function element(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

// "right_up" -> "right + up".
export function actionLabel(name) {
  return name.replaceAll("_", " + ");
}

// One pill for each action; returns show(index), which lights the one that is being sent.
export function buildActions(list, world) {
  const pills = world.action_names.map((name) => {
    const keys = world.key_bindings[name]?.[0] ?? [];
    const pill = element("li", {}, actionLabel(name));
    if (keys.length) pill.append(element("kbd", {}, keys.map(keyLabel).join("")));
    pill.dataset.action = name;
    return pill;
  });
  list.replaceChildren(...pills);
  let lit = null;
  return (index) => {
    if (pills[index] === lit) return;
    lit?.classList.remove("sent");
    lit?.removeAttribute("aria-current");
    lit = pills[index];
    lit?.classList.add("sent");
    lit?.setAttribute("aria-current", "true");
  };
}

// Buttons that hold a key while they are touched: directions on the left, everything else on the right.
export function buildTouch(pad, extra, world, keyboard) {
  pad.replaceChildren();
  extra.replaceChildren();
  const add = (place, name, code) => {
    const label = ARROW[name] ?? actionLabel(name);
    const button = element("button", { type: "button", textContent: label, ariaLabel: actionLabel(name) });
    if (place === pad) button.style.gridArea = name;
    const hold = (event) => {
      event.preventDefault();
      button.classList.add("held");
      keyboard.press(code);
    };
    const letGo = () => {
      button.classList.remove("held");
      keyboard.release(code);
    };
    button.addEventListener("pointerdown", hold);
    for (const end of ["pointerup", "pointercancel", "pointerleave"]) button.addEventListener(end, letGo);
    button.addEventListener("contextmenu", (event) => event.preventDefault());
    place.append(button);
  };
  for (const [name, ways] of Object.entries(world.key_bindings)) {
    const code = ways.find((keys) => keys.length === 1)?.[0];
    if (!code) continue;
    if (name in ARROW) add(pad, name, code);
    // Up stands on both sides: the thumb that runs cannot jump too.
    if (!(name in ARROW) || name === "up") add(extra, name, code);
  }
}

// Returns show(theme), which marks the one being played.
export function buildThemes(row, themes, choose) {
  const chips = themes.map((theme) => {
    const chip = element("button", { type: "button", textContent: theme, ariaPressed: "false" });
    chip.addEventListener("click", () => choose(theme));
    return chip;
  });
  row.replaceChildren(...chips);
  return (theme) => {
    for (const chip of chips) chip.ariaPressed = String(chip.textContent === theme);
  };
}

// "WASD or the arrow keys to move, X for action": written from the bindings, so that it is true of any world.
export function keyHelp(world) {
  const parts = Object.entries(world.key_bindings)
    // What is done while no key is held needs no key of its own, even where the game has one for it.
    .filter(([, ways]) => ways.some((keys) => keys.length === 1) && !ways.some((keys) => !keys.length))
    .map(([name, ways]) => {
      const keys = ways.filter((way) => way.length === 1).map(([code]) => keyLabel(code));
      return `${actionLabel(name)}: ${keys.join(" or ")}`;
    });
  return parts.length ? `Keys. ${parts.join(" · ")}` : "";
}
