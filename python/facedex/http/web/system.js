// System: the networks and their licences, the size of the gallery, its search method, and the load of the machine.

import { request } from "./api.js";
import { card, runBusy, make, term } from "./dom.js";

const MEGA = 1e6;
const GIGA = 1e9;

/** Make the section. */
export function makeSystem() {
  const reload = make("button", { type: "button", text: "refresh", class: "quiet", on: { click: () => runBusy(reload, refresh) } });
  const cards = make("div", { class: "columns" });
  const panel = make("div", {}, make("div", { class: "actions end" }, reload), cards);

  async function refresh() {
    const stats = await request("GET", "v1/stats");
    cards.replaceChildren(
      card("system_pack", make("dl", {}, ...packTerms(stats.pack))),
      card("system_gallery", make("dl", {}, ...galleryTerms(stats))),
      card("system_speed", make("dl", {}, ...machineTerms(stats))),
    );
  }

  return { name: "system", panel, onShow: () => runBusy(null, refresh), onLeave: () => {} };
}

function words(key, values) {
  return make("span", { text: key, values });
}

function number(value) {
  return words("number", { value });
}

function packTerms(pack) {
  return [
    term("pack", pack.name),
    term("summary", make("span", { lang: "en", plain: pack.summary })),
    term("licences", pack.licences.join(", ")),
    term("commercial", words(pack.commercial ? "commercial_yes" : "commercial_no")),
    term("threshold", number(pack.threshold)),
    term("dimension", number(pack.dimension)),
  ];
}

function galleryTerms({ gallery, photos }) {
  const method = gallery.why ? `${gallery.method} – ${gallery.why}` : gallery.method;
  return [
    term("gallery", gallery.gallery),
    term("people", number(gallery.people)),
    term("faces", number(gallery.faces)),
    gallery.dormant ? term("dormant", number(gallery.dormant)) : null,
    term("method", make("span", { lang: "en", plain: `${gallery.search}: ${method}` })),
    term("recall", gallery.recall === null
      ? words("recall_unmeasured")
      : words("recall_value", { value: Math.floor(1e5 * gallery.recall) / 1e3 })),
    term("photos_setting", words(`photos_setting_${photos}`)),
    term("encrypted", words(gallery.encrypted ? "yes" : "no")),
    gallery.due ? term("due", number(gallery.due)) : null,
  ].filter(Boolean);
}

function machineTerms(stats) {
  const each = (seconds) => Math.round((10_000 * seconds) / stats.images) / 10;
  const waiting = Object.values(stats.inside).reduce((sum, one) => sum + one, 0);
  return [
    term("version", stats.version),
    term("latency", stats.images
      ? words("latency_value", { total: each(stats.total_s), network: each(stats.network_s) })
      : words("latency_none")),
    term("pictures_done", number(stats.images)),
    term("inside", number(waiting)),
    term("cpu", words("percent", { value: stats.cpu_percent })),
    term("memory", words("megabytes", { value: Math.round(stats.process_memory / MEGA) })),
    stats.disk ? term("disk", words("gigabytes", { value: Math.round((10 * stats.disk.free) / GIGA) / 10 })) : null,
  ].filter(Boolean);
}
