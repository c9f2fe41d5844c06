'use strict'

const { text, binary, ping, pong, fragments } = require('../frames')

/** Category 2: pings and pongs. */
module.exports = [
  { id: '2.1.1', what: 'ping without payload', bytes: [ping()] },
  { id: '2.1.2', what: 'ping with text', bytes: [ping('Hello, world!')] },
  {
    id: '2.1.3',
    what: 'ping with bytes that are not UTF-8',
    bytes: [ping(Buffer.from([0x00, 0xff, 0xfe, 0xfd, 0xfc, 0xfb, 0x00, 0xff]))],
  },
  { id: '2.1.4', what: 'ping of 125 bytes', bytes: [ping(Buffer.alloc(125, 0xfe))] },
  { id: '2.1.5', what: 'ping of 126 bytes', bytes: [ping(Buffer.alloc(126, 0xfe))] },
  { id: '2.1.6', what: 'ping of 125 bytes in TCP segments of 1 byte', bytes: [ping(Buffer.alloc(125, 0xfe))], chop: 1 },
  { id: '2.1.7', what: 'ping with its length in 16 bits', bytes: [ping('x', { form: 16 })] },
  { id: '2.1.8', what: 'ping with its length in 64 bits', bytes: [ping('x', { form: 64 })] },
  { id: '2.1.9', what: 'ping of 65536 bytes', bytes: [ping(Buffer.alloc(65_536))] },
  { id: '2.2.1', what: 'pong without payload that nobody asked for', bytes: [pong()] },
  { id: '2.2.2', what: 'pong with payload that nobody asked for', bytes: [pong('unsolicited')] },
  { id: '2.2.3', what: 'pong that nobody asked for, then a ping', bytes: [pong('unsolicited'), ping('p')] },
  { id: '2.2.4', what: 'pong of 126 bytes', bytes: [pong(Buffer.alloc(126))] },
  {
    id: '2.3.1',
    what: '10 pings, each with another payload',
    bytes: Array.from({ length: 10 }, (_, i) => ping(`payload-${i}`)),
  },
  {
    id: '2.3.2',
    what: '10 pings in one TCP segment',
    bytes: [Buffer.concat(Array.from({ length: 10 }, (_, i) => ping(`payload-${i}`)))],
  },
  {
    id: '2.3.3',
    what: '10 pings in TCP segments of 1 byte',
    bytes: Array.from({ length: 10 }, (_, i) => ping(`payload-${i}`)),
    chop: 1,
  },
  {
    id: '2.3.4',
    what: 'pings before, between and after messages',
    bytes: [ping('1'), text('4a'), ping('2'), binary('b'), ping('3')],
  },
  {
    id: '2.4.1',
    what: 'ping between the fragments of a text',
    bytes: [fragments('text', ['4a', 'b'])[0], ping('p'), fragments('text', ['4a', 'b'])[1]],
  },
  {
    id: '2.4.2',
    what: 'pong between the fragments of a text',
    bytes: [fragments('text', ['4a', 'b'])[0], pong('p'), fragments('text', ['4a', 'b'])[1]],
  },
  { id: '2.4.3', what: 'the ping packet of Engine.IO is no ping frame', bytes: [text('2')] },
]
