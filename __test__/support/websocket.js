"use strict";

const assert = require("node:assert/strict");
const { randomBytes } = require("node:crypto");
const WebSocket = require("ws");
const { defer } = require("./cleanup");
const { once } = require("./events");
const { RawPeer } = require("./tcp");

const KEY = "dGhlIHNhbXBsZSBub25jZQ=="; // RFC 6455, section 1.3

/** Bytes of one frame. `length` announces another payload length, `form` forces 16 or 64 bit lengths. */
function frame({ fin = true, rsv = 0, opcode = 1, payload = "", mask = true, length, form }) {
  const data = Buffer.from(payload);
  const announced = BigInt(length ?? data.length);
  const bits = form ?? (announced > 65535n ? 64 : announced > 125n ? 16 : 7);
  const head = [Buffer.from([(fin ? 0x80 : 0) | (rsv << 4) | opcode])];
  const masked = mask ? 0x80 : 0;
  if (bits === 7) {
    head.push(Buffer.from([masked | Number(announced)]));
  } else if (bits === 16) {
    const bytes = Buffer.from([masked | 126, 0, 0]);
    bytes.writeUInt16BE(Number(announced), 1);
    head.push(bytes);
  } else {
    const bytes = Buffer.concat([Buffer.from([masked | 127]), Buffer.alloc(8)]);
    bytes.writeBigUInt64BE(announced, 1);
    head.push(bytes);
  }
  if (!mask) {
    return Buffer.concat([...head, data]);
  }
  const key = randomBytes(4);
  return Buffer.concat([...head, key, data.map((byte, i) => byte ^ key[i & 3])]);
}

/** Payload of a close frame. */
function closePayload(code, reason = "") {
  const payload = Buffer.alloc(2);
  payload.writeUInt16BE(code);
  return Buffer.concat([payload, Buffer.from(reason)]);
}

function upgradeRequest(path, { method = "GET", version = "1.1", headers = {} } = {}) {
  const all = {
    Host: "127.0.0.1",
    Connection: "Upgrade",
    Upgrade: "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": KEY,
    ...headers,
  };
  const lines = Object.entries(all)
    .filter(([, value]) => value !== undefined)
    .flatMap(([name, value]) => [].concat(value).map((v) => `${name}: ${v}\r\n`));
  return `${method} ${path} HTTP/${version}\r\n${lines.join("")}\r\n`;
}

/** A WebSocket client that can send arbitrary frames and keeps the frames it receives. */
class RawWebSocket extends RawPeer {
  /** Sends the upgrade request, with `head` in the same write, and does not wait for the answer. */
  static async request(port, path, options) {
    return (await this.connect(port)).upgrade(path, options);
  }

  /** The same over a stream that is already connected. */
  static over(stream, path, options) {
    return new this(stream).upgrade(path, options);
  }

  upgrade(path, options = {}) {
    const head = options.head ?? Buffer.alloc(0);
    this.write(Buffer.concat([Buffer.from(upgradeRequest(path, options), "latin1"), head]));
    return this;
  }

  /** Sends the upgrade request and waits for the response head. */
  static async open(port, path, options) {
    return (await this.request(port, path, options)).response();
  }

  /** The response: `{ status, headerLines, headers, text }`; the bytes after it are frames. */
  async response() {
    const [head] = await this.match(/^[^]*?\r\n\r\n/);
    this.bytes = this.bytes.subarray(head.length);
    const [statusLine, ...headerLines] = head.slice(0, -4).split("\r\n");
    this.status = Number(statusLine.split(" ")[1]);
    this.statusLine = statusLine;
    this.headerLines = headerLines;
    this.headers = Object.fromEntries(
      headerLines.map((line) => [line.slice(0, line.indexOf(":")).toLowerCase(), line.slice(line.indexOf(":") + 2)]),
    );
    return this;
  }

  takeFrame() {
    const { bytes } = this;
    if (bytes.length < 2) return null;
    let offset = 2;
    let length = bytes[1] & 0x7f;
    if (length === 126) {
      if (bytes.length < 4) return null;
      length = bytes.readUInt16BE(2);
      offset = 4;
    } else if (length === 127) {
      if (bytes.length < 10) return null;
      length = Number(bytes.readBigUInt64BE(2));
      offset = 10;
    }
    if (bytes.length < offset + length) return null;
    this.bytes = bytes.subarray(offset + length);
    const payload = Buffer.from(bytes.subarray(offset, offset + length));
    return {
      fin: (bytes[0] & 0x80) !== 0,
      rsv: (bytes[0] >> 4) & 7,
      opcode: bytes[0] & 15,
      masked: (bytes[1] & 0x80) !== 0,
      headerLength: offset,
      payload,
      text: payload.toString("utf8"),
      code: (bytes[0] & 15) === 8 && length >= 2 ? payload.readUInt16BE(0) : undefined,
    };
  }

  /** The next frame. */
  frame(ms) {
    return this.until(() => this.takeFrame(), "a frame", ms);
  }

  /** The text of the next frame, which must be a text frame. */
  async packet(ms) {
    const { opcode, text } = await this.frame(ms);
    assert.equal(opcode, 1, `expected a text frame, got opcode ${opcode}: ${text}`);
    return text;
  }

  /** Skips data frames and returns the close frame. */
  async closeFrame(ms) {
    for (;;) {
      const received = await this.frame(ms);
      if (received.opcode === 8) return received;
    }
  }

  sendFrame(options) {
    this.write(frame(options));
  }

  sendText(payload) {
    this.sendFrame({ opcode: 1, payload });
  }

  sendBinary(payload) {
    this.sendFrame({ opcode: 2, payload });
  }

  sendClose(code, reason) {
    this.sendFrame({ opcode: 8, payload: code === undefined ? "" : closePayload(code, reason) });
  }
}

/** A `ws` client, open; `next()` resolves with its next message (string or Buffer). */
async function wsClient(port, path, options) {
  const ws = new WebSocket(`ws://127.0.0.1:${port}${path}`, options);
  const queue = [];
  ws.on("message", (data, isBinary) => {
    queue.push(isBinary ? data : data.toString());
    ws.emit("queued");
  });
  ws.on("error", () => {});
  ws.next = async () => {
    if (queue.length === 0) await once(ws, "queued");
    return queue.shift();
  };
  defer(() => ws.terminate());
  await once(ws, "open");
  return ws;
}

module.exports = { RawWebSocket, frame, closePayload, upgradeRequest, wsClient, KEY };
