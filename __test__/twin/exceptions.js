"use strict";

// Rows of docs/DIFFERENCES.md that programs meet. Each says which of the differences of a program it explains; what no row
// explains is a difference.

/**
 * @typedef {object} Case what a difference is looked at in
 * @property {object} program
 * @property {object[]} left what the original showed, step by step
 * @property {object[]} right
 *
 * @typedef {object} Exception
 * @property {number} row
 * @property {string} what
 * @property {(difference: import("./compare").Difference, of: Case) => boolean | Scope} explains
 *
 * @typedef {object} Scope what else is explained, from this step on, because the two sides lead different lives
 * @property {string} [session] all about this session, by its client's name
 * @property {boolean} [counts] how many sessions there are
 */

const json = (value) => JSON.stringify(value) ?? "";

/** Whether there is a flush listener that sends, or edits the buffer, at any depth. */
function actsOnFlush(value) {
  if (typeof value !== "object" || value === null) return false;
  if (value.do === "listen" && value.event === "flush" && /"do":"(send|buffer)"/.test(json(value.calls))) return true;
  return Object.values(value).some(actsOnFlush);
}

/** The client whose session an object belongs to. */
const sessionOf = (object) => /\{([^}]+)\}/.exec(object)?.[1] ?? /^client (\w+),/.exec(object)?.[1];

/** An exception of the program's own came up, in this step or before. */
const thrown = ({ left }, number) => left.slice(0, number + 1).some(({ streams }) => (streams.process ?? []).some((text) => /"twin: the application"/.test(text)));

/** Sessions of which this step's end is told by one side alone. */
const endedBy = (side, other, number) =>
  Object.entries(side[number]?.readyStates ?? {}).filter(([name, state]) => state === "closed" && other[number]?.readyStates[name] !== "closed").map(([name]) => name.slice(1, -1));

/** @type {Exception[]} */
const exceptions = [
  {
    row: 1,
    what: "a flush listener that empties the buffer, or sends, leaves the transport unwritable, or throws",
    explains: ({ object }, { program }) => actsOnFlush([program.listeners, program.steps]) && sessionOf(object) !== undefined && { session: sessionOf(object) },
  },
  {
    row: 2,
    what: "close(true) and server.close() end a session that is closing",
    explains({ step: number, object, field }, { left, right, program }) {
      const closes = number === program.steps.length + 1 || /"closeServer"|"discard":true/.test(json([program.steps[number - 1], program.listeners]));
      const ended = closes ? endedBy(right, left, number).filter((name) => left[number].readyStates[`{${name}}`] === "closing") : [];
      const name = sessionOf(object);
      if (ended.includes(name)) return { session: name, counts: true };
      return ended.length > 0 && object === "server" && (field === "clientsCount" || field === "clients") && { counts: true };
    },
  },
  {
    row: 4,
    what: "removeAllListeners() does not remove the engine's own",
    explains: ({ object, field }, { program }) =>
      object === "server" && (field === "clientsCount" || field === "clients") && /"removeListeners","event":"close"/.test(json([program.listeners, program.steps])) && { counts: true },
  },
  {
    row: 8,
    what: "a throwing listener of a session",
    explains: ({ object, step: number }, of) => thrown(of, number) && sessionOf(object) !== undefined && { session: sessionOf(object), counts: true },
  },
  {
    row: 20,
    what: "what permessage-deflate compresses",
    explains: ({ left, right }, { program }) => program.options.perMessageDeflate !== undefined && strip(left) === strip(right),
  },
  {
    row: 24,
    what: "allowRequest that throws",
    explains: ({ object, left, right }, { program }) =>
      program.hooks.some(({ hook, how }) => hook === "allowRequest" && how === "throw") &&
      ((left === undefined && /^connection_error.*"Forbidden"/.test(right)) || (object.startsWith("client ") && left === undefined && /^HTTP\/1.1 40[03]|^end$/.test(right))),
  },
];

const strip = (entry) => entry?.replace(/^(frame \w+) rsv 4/, "$1");

/** @returns what no row explains; counts the programs that need a row in `used` */
function unexplained(differences, of, used = new Map()) {
  const rest = [];
  const rows = new Set();
  const sessions = new Set();
  let counts = false;
  const counted = (text) => text?.replace(/clientsCount \d+/, "");
  for (const difference of differences) {
    const { object, field, left, right } = difference;
    const name = sessionOf(object);
    if (sessions.has(name)) continue;
    if (object === "server" && [...sessions].some((one) => `${left} ${right}`.includes(`{${one}}`))) continue;
    if (counts && ((object === "server" && (field === "clientsCount" || field === "clients")) || counted(left) === counted(right))) continue;
    const exception = exceptions.find((one) => one.explains(difference, of));
    if (exception === undefined) {
      rest.push(difference);
      continue;
    }
    rows.add(exception.row);
    const scope = exception.explains(difference, of);
    if (scope.session !== undefined) sessions.add(scope.session);
    if (scope.counts) counts = true;
  }
  for (const row of rows) used.set(row, (used.get(row) ?? 0) + 1);
  return rest;
}

module.exports = { exceptions, unexplained };
