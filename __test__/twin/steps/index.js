"use strict";

// Every kind of step: `weight(sketch)` and `draw(random, sketch)` make one, `run(world, step)` does it, `tell(step)` says
// it in words.

const usual = {
  ...require("./requests"),
  ...require("./websocket"),
  ...require("./application"),
};

/** What only some modes have. */
const special = {
  webtransport: require("./webtransport"),
};

const drawn = Object.assign({}, usual, ...Object.values(special));

/** The kinds of steps that programs of a mode have. */
function kindsOf({ steps = [] }) {
  return [usual, ...steps.map((name) => special[name])].flatMap((kinds) => Object.keys(kinds));
}

module.exports = { drawn, kindsOf };
