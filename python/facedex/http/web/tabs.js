// Tabs as specified by WAI-ARIA: arrow keys, Home and End move between tabs, and Tab stops only at the chosen one.

import { clearMessage, make } from "./dom.js";

/**
 * Show a tab for each section, and return a function that opens a section by its name.
 * @param {{name: string, panel: HTMLElement, onShow: Function, onLeave: Function}[]} sections
 */
export function showTabs(sections) {
  const list = document.getElementById("tabs");
  const panels = document.getElementById("panels");
  const tabs = sections.map(({ name }) =>
    make("button", {
      type: "button", role: "tab", id: `tab-${name}`, "aria-controls": `panel-${name}`, text: `tab_${name}`, tabindex: -1,
    }));
  sections.forEach(({ name, panel }) => {
    panel.id = `panel-${name}`;
    panel.setAttribute("role", "tabpanel");
    panel.setAttribute("aria-labelledby", `tab-${name}`);
    panel.tabIndex = 0;
    panel.hidden = true;
  });
  list.replaceChildren(...tabs);
  panels.replaceChildren(...sections.map(({ panel }) => panel));
  list.hidden = false;
  let chosen = -1;

  function choose(index) {
    if (index === chosen) return;
    if (chosen >= 0) sections[chosen].onLeave();
    clearMessage(); // the message belongs to the previous section
    chosen = index;
    tabs.forEach((tab, position) => {
      tab.setAttribute("aria-selected", String(position === index));
      tab.tabIndex = position === index ? 0 : -1;
      sections[position].panel.hidden = position !== index;
    });
    history.replaceState(null, "", `#${sections[index].name}`);
    sections[index].onShow();
  }

  list.onclick = (event) => {
    const index = tabs.indexOf(event.target.closest("[role=tab]"));
    if (index >= 0) choose(index);
  };
  list.onkeydown = (event) => {
    const moves = { ArrowRight: chosen + 1, ArrowLeft: chosen - 1, Home: 0, End: tabs.length - 1 };
    if (!(event.key in moves)) return;
    event.preventDefault();
    const index = (moves[event.key] + tabs.length) % tabs.length;
    choose(index);
    tabs[index].focus();
  };
  const wanted = sections.findIndex(({ name }) => `#${name}` === location.hash);
  choose(Math.max(0, wanted));
  return (name) => choose(Math.max(0, sections.findIndex((section) => section.name === name)));
}
