"use strict";

// Every kind of step: `weight(sketch)` and `draw(random, sketch)` make one, `run(world, step)` does it, `tell(step)` says
// it in words.

const drawn = {
  ...require("./requests"),
  ...require("./websocket"),
  ...require("./application"),
};

module.exports = { drawn };
