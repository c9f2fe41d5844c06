'use strict'

// Packets of the protocol as clients write them, valid and not.

/** One packet's text. */
function drawPacket(random, protocol) {
  return random.pick([
    () => `4${random.pick(['hi', 'one', 'two', 'ü€😀', '', 'x'.repeat(60), 'a\\nb', '\\\\n'])}`,
    () => `4${random.pick(['hi', 'one', 'two'])}`,
    () => `4${random.pick(['hi', 'one', 'two'])}`,
    () => (protocol === 4 ? 'bAQIDBA==' : 'b4AQIDBA=='),
    () => random.pick(['2', '3', '2', '3', '6', '2x', '3x', '2probe', '3probe']),
    () =>
      random.pick([
        '1',
        '5',
        '0',
        '0{}',
        '7',
        '9',
        '',
        'x',
        'b',
        'b!!!!',
        '\u0000',
        '4'.padEnd(3000, 'y'),
        '44',
        ' 4a',
      ]),
  ])()
}

function drawPackets(random, protocol) {
  return Array.from({ length: 1 + (random.chance(0.4) ? random.below(5) : 0) }, () => drawPacket(random, protocol))
}

/** The body of a POST. */
function encodePayload(packets, protocol, jsonp) {
  const text = protocol === 4 ? packets.join('\x1e') : packets.map((packet) => `${packet.length}:${packet}`).join('')
  return jsonp ? `d=${encodeURIComponent(text.replaceAll('\\n', '\\\\n'))}` : text
}

module.exports = { drawPacket, drawPackets, encodePayload }
