// A list of tabs as WAI-ARIA has it: arrow keys move, Home and End jump, only the chosen tab is in the order of Tab.

import { hush, make } from "./dom.js";

/**
 * Show tabs.
 * @param {{name: string, panel: HTMLElement, shown: Function, left: Function}[]} parts
 */
export function showTabs(parts) {
  const list = document.getElementById("tabs");
  const panels = document.getElementById("panels");
  const tabs = parts.map(({ name }) =>
    make("button", {
      type: "button", role: "tab", id: `tab-${name}`, "aria-controls": `panel-${name}`, text: `tab_${name}`, tabindex: -1,
    }));
  parts.forEach(({ name, panel }) => {
    panel.id = `panel-${name}`;
    panel.setAttribute("role", "tabpanel");
    panel.setAttribute("aria-labelledby", `tab-${name}`);
    panel.tabIndex = 0;
    panel.hidden = true;
  });
  list.replaceChildren(...tabs);
  panels.replaceChildren(...parts.map(({ panel }) => panel));
  list.hidden = false;
  let chosen = -1;

  function choose(at) {
    if (at === chosen) return;
    if (chosen >= 0) parts[chosen].left();
    hush(); // what is said there was of the other section
    chosen = at;
    tabs.forEach((tab, place) => {
      tab.setAttribute("aria-selected", String(place === at));
      tab.tabIndex = place === at ? 0 : -1;
      parts[place].panel.hidden = place !== at;
    });
    history.replaceState(null, "", `#${parts[at].name}`);
    parts[at].shown();
  }

  list.onclick = (event) => {
    const at = tabs.indexOf(event.target.closest("[role=tab]"));
    if (at >= 0) choose(at);
  };
  list.onkeydown = (event) => {
    const moves = { ArrowRight: chosen + 1, ArrowLeft: chosen - 1, Home: 0, End: tabs.length - 1 };
    if (!(event.key in moves)) return;
    event.preventDefault();
    const at = (moves[event.key] + tabs.length) % tabs.length;
    choose(at);
    tabs[at].focus();
  };
  const wanted = parts.findIndex(({ name }) => `#${name}` === location.hash);
  choose(Math.max(0, wanted));
  return (name) => choose(Math.max(0, parts.findIndex((part) => part.name === name)));
}
