"use strict";
const root = document.documentElement, state = document.getElementById("state"), live = document.getElementById("live");

// Dark or light: what the reader chose, else what the machine prefers.
const prefers = matchMedia("(prefers-color-scheme: dark)"), theme = document.getElementById("theme");
function paint() {
  let chosen = null;
  try { chosen = localStorage.getItem("theme"); } catch { /* a browser may forbid it */ }
  const dark = chosen ? chosen === "dark" : prefers.matches;
  root.dataset.theme = dark ? "dark" : "light";
  theme.setAttribute("aria-pressed", String(dark));
}
prefers.addEventListener("change", paint);
theme.addEventListener("click", () => {
  try { localStorage.setItem("theme", root.dataset.theme === "dark" ? "light" : "dark"); } catch { /* as above */ }
  paint();
});
paint();

function say(text) { if (state.textContent !== text) state.textContent = text; }

// Parts that changed are replaced; scroll positions and the focus stay.
async function refresh() {
  const answer = await fetch("/_sandbox/page" + location.search);
  if (!answer.ok) throw new Error(answer.status);
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of fresh.querySelectorAll("[data-part]")) {
    const old = live.querySelector(`[data-part="${part.dataset.part}"]`);
    if (!old || old.innerHTML === part.innerHTML) continue;
    const active = old.contains(document.activeElement) ? document.activeElement : null;
    if (active && active.matches("input, select")) continue;
    const top = old.querySelector(".scroll")?.scrollTop ?? 0;
    old.innerHTML = part.innerHTML;
    const box = old.querySelector(".scroll");
    if (box) box.scrollTop = top;
    if (active) (active.id && document.getElementById(active.id) || old.querySelector("[tabindex]"))?.focus();
  }
}

let timer = 0;
async function tick() {
  clearTimeout(timer);
  try { await refresh(); say("live"); } catch { say("the sandbox does not answer"); }
  timer = setTimeout(tick, document.hidden ? 5000 : 1000);
}
timer = setTimeout(tick, 1000);

// Buttons and forms with data-call send JSON to the control interface.
const told = document.getElementById("told");
async function send(method, path, body) {
  const answer = await fetch("/_sandbox/" + path, { method, body: body && JSON.stringify(body) });
  const found = await answer.json();
  told.textContent = answer.ok ? "Done." : found.error;
  await tick();
}
document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-call]");
  if (!button) return;
  const [method, path] = button.dataset.call.split(" ");
  send(method, path, button.dataset.body && JSON.parse(button.dataset.body));
});
document.getElementById("fault-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const form = new FormData(event.target), times = Number(form.get("times"));
  send("POST", "faults", { kind: form.get("kind"), operation: form.get("operation"), times: times || null });
});
