// The registered people, read and cached page by page. A search reads further pages until it has enough matches.

import { request } from "./api.js";

const CACHE_MS = 60_000; // age at which the cache is discarded; changes made here discard it at once
const FIRST_PAGE = 100; // people on the first page: few, so that a list appears soon
const NEXT_PAGE = 1000; // people on each further page: the server's maximum

let listing = newListing();

function newListing() {
  return { people: [], cursor: null, complete: false, since: performance.now(), request: null };
}

/** Clear the cache of people. */
export function clearPeople() {
  listing = newListing();
}

/** Reduce a person to what a list shows. */
export function summarize({ person_id, name, email, faces }) {
  const id = String(person_id);
  return { person_id: id, name, email, faces: faces.length, key: foldText(`${name ?? ""} ${email ?? ""} ${id}`) };
}

/** Return a person's name, or the id if there is none. */
export function nameOf(person) {
  return person.name || String(person.person_id);
}

/**
 * Find the people whose name, e-mail address or id contains every word, in the order of registration.
 * @param {string} words empty finds everybody
 * @param {number} limit the maximum number of people
 * @param {function(object[], number): boolean} onPage called before each further request with the people found so far and the
 *   number searched; returns whether to continue
 * @returns {Promise<{people: object[], more: boolean}|null>} null if `onPage` stopped the search
 */
export async function searchPeople(words, limit, onPage = () => true) {
  if (performance.now() - listing.since > CACHE_MS) clearPeople();
  const current = listing;
  const wanted = foldText(words).split(/\s+/).filter(Boolean);
  const people = /^\S+@\S+\.\S+$/.test(words.trim()) ? await findByEmail(words.trim()) : [];
  if (people.length) return { people: people.slice(0, limit), more: people.length > limit };
  let at = 0;
  for (;;) {
    for (; at < current.people.length && people.length <= limit; at += 1) {
      if (wanted.every((word) => current.people[at].key.includes(word))) people.push(current.people[at]);
    }
    if (people.length > limit || current.complete) return { people: people.slice(0, limit), more: people.length > limit };
    if (!onPage(people, at)) return null;
    await readNextPage(current);
  }
}

/** Find people by e-mail address, which the server has indexed. */
async function findByEmail(email) {
  return (await request("GET", `v1/people?email=${encodeURIComponent(email)}`)).items.map(summarize);
}

/** Read the next page; concurrent searches share one request. */
function readNextPage(of) {
  of.request ??= readPage(of).finally(() => { of.request = null; });
  return of.request;
}

async function readPage(of) {
  const from = of.cursor === null ? "" : `&cursor=${encodeURIComponent(of.cursor)}`;
  const page = await request("GET", `v1/people?limit=${of.people.length ? NEXT_PAGE : FIRST_PAGE}${from}`);
  of.people.push(...page.items.map(summarize));
  of.cursor = page.next_cursor;
  of.complete = page.next_cursor === null;
}

/** Return a text in lower case and without accents, so that "muller" matches "Müller". */
function foldText(text) {
  return text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
}
