"use strict";

// What an application gives the server beside plain options: functions, built from data.

const HOOKS = {
  allowRequest: {
    draw: (random) => ({ how: random.pick(["accept", "accept", "later", "refuse", "refuseLater", "throw"]) }),
    apply({ how }, options, world) {
      options.allowRequest = (req, callback) => {
        world.record("server", `allowRequest(${world.observer.show(req)})`);
        if (how === "throw") throw world.error("allowRequest");
        const decide = how.startsWith("refuse") ? () => callback("not today", false) : () => callback(null, true);
        if (how.endsWith("ater")) setTimeout(decide, 2);
        else decide();
      };
    },
  },
  generateId: {
    draw: (random) => ({ how: random.pick(["sync", "promise", "throw", "reject"]) }),
    after({ how }, engine, world) {
      let last = 0;
      engine.generateId = (req) => {
        world.record("server", `generateId(${world.observer.show(req)})`);
        const id = `made-by-the-application-${++last}`;
        if (how === "throw") throw world.error("generateId");
        if (how === "reject") return Promise.reject(world.error("generateId"));
        return how === "promise" ? Promise.resolve(id) : id;
      };
    },
  },
  middleware: {
    draw: (random) => ({ how: random.pick(["header", "header", "later", "vary", "fail", "answer", "cookie"]) }),
    after({ how }, engine, world) {
      engine.use((req, res, next) => {
        if (world.program.kind !== "real") world.record("server", `middleware(${world.observer.show(req)})`);
        if (how === "header") res.setHeader("X-Middleware", "yes");
        if (how === "vary") res.setHeader("Vary", "Accept");
        if (how === "cookie") res.setHeader("Set-Cookie", "a=1");
        if (how === "fail") return next(world.error("middleware"));
        if (how === "answer") {
          res.writeHead(418);
          return res.end("teapot");
        }
        if (how === "later") setTimeout(next, 2);
        else next();
      });
    },
  },
  headersListener: {
    draw: (random) => ({ event: random.pick(["headers", "initial_headers"]), how: random.pick(["add", "add", "replace", "remove"]) }),
    after({ event, how }, engine) {
      engine.on(event, (headers) => {
        if (how === "add") headers["X-Listener"] = event;
        if (how === "replace") headers["Content-Type"] = "application/x-twin";
        if (how === "remove") delete headers["cache-control"];
      });
    },
  },
};

function drawHooks(random) {
  const names = Object.keys(HOOKS).filter(() => random.chance(0.1));
  return names.map((name) => ({ hook: name, ...HOOKS[name].draw(random) }));
}

/** @returns functions that belong into the options */
function hookOptions(hooks, world) {
  const options = {};
  for (const hook of hooks) HOOKS[hook.hook].apply?.(hook, options, world);
  return options;
}

function applyHooks(hooks, engine, world) {
  for (const hook of hooks) HOOKS[hook.hook].after?.(hook, engine, world);
}

module.exports = { drawHooks, hookOptions, applyHooks };
