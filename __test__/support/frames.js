"use strict";

const { randomBytes } = require("node:crypto");

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

module.exports = { frame, closePayload, upgradeRequest, KEY };
