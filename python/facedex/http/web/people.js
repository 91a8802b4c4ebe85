// Who is registered, read page by page: a search reads on until it has found enough, and nobody is too far away to be found.

import { ask } from "./api.js";

const FRESH_MS = 60_000; // what was read is kept so long; what this page changes is asked anew at once
const FIRST = 100; // people of the first page, so that a list shows soon
const NEXT = 1000; // of each further page; the server gives no more at once

let walk = begun();

function begun() {
  return { people: [], cursor: null, ended: false, since: performance.now(), asking: null };
}

/** Ask anew who is registered. */
export function forgetPeople() {
  walk = begun();
}

/** Keep of a person what a list shows. */
export function brief({ person_id, name, email, faces }) {
  const id = String(person_id);
  return { person_id: id, name, email, faces: faces.length, key: folded(`${name ?? ""} ${email ?? ""} ${id}`) };
}

/** How a person is called. */
export function nameOf(person) {
  return person.name || String(person.person_id);
}

/**
 * Find the people whose name, e-mail address or id holds every word, in the order of registration.
 * @param {string} words none finds everybody
 * @param {number} most how many are wanted
 * @param {function(object[], number): boolean} looked told before each further request who was found, and among how many;
 *   says whether to go on
 * @returns {Promise<{people: object[], more: boolean}|null>} null where it was not to go on
 */
export async function seek(words, most, looked = () => true) {
  if (performance.now() - walk.since > FRESH_MS) forgetPeople();
  const mine = walk;
  const wanted = folded(words).split(/\s+/).filter(Boolean);
  const people = /^\S+@\S+\.\S+$/.test(words.trim()) ? await withEmail(words.trim()) : [];
  if (people.length) return { people: people.slice(0, most), more: people.length > most };
  let at = 0;
  for (;;) {
    for (; at < mine.people.length && people.length <= most; at += 1) {
      if (wanted.every((word) => mine.people[at].key.includes(word))) people.push(mine.people[at]);
    }
    if (people.length > most || mine.ended) return { people: people.slice(0, most), more: people.length > most };
    if (!looked(people, at)) return null;
    await readOn(mine);
  }
}

/** People with an e-mail address, whom the server finds without looking through all. */
async function withEmail(email) {
  return (await ask("GET", `v1/people?email=${encodeURIComponent(email)}`)).items.map(brief);
}

/** Read one page more; two searches at once read it once. */
function readOn(of) {
  of.asking ??= readPage(of).finally(() => { of.asking = null; });
  return of.asking;
}

async function readPage(of) {
  const from = of.cursor === null ? "" : `&cursor=${encodeURIComponent(of.cursor)}`;
  const page = await ask("GET", `v1/people?limit=${of.people.length ? NEXT : FIRST}${from}`);
  of.people.push(...page.items.map(brief));
  of.cursor = page.next_cursor;
  of.ended = page.next_cursor === null;
}

/** Write a text without accents and capitals: "Müller" is found by "muller". */
function folded(text) {
  return text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
}
