"use strict";

// Rows of docs/DIFFERENCES.md that programs meet. Each says which of the differences of a program it explains; what no row
// explains is a difference. `ends`: from here on the two sides lead different lives, and nothing that comes later in the
// program can be compared.

/**
 * @typedef {object} Exception
 * @property {number | string} row
 * @property {string} what
 * @property {(difference: import("./compare").Difference, program: object) => boolean} explains
 * @property {boolean} [ends]
 */

/** @type {Exception[]} */
const exceptions = [];

/** @returns what no row explains; counts the rows that do in `used` */
function unexplained(differences, program, used = new Map()) {
  const rest = [];
  for (const difference of differences) {
    const exception = exceptions.find((one) => one.explains(difference, program));
    if (exception === undefined) {
      rest.push(difference);
      continue;
    }
    used.set(exception.row, (used.get(exception.row) ?? 0) + 1);
    if (exception.ends) break;
  }
  return rest;
}

module.exports = { exceptions, unexplained };
