'use strict'

const HISTORY = 120 // two samples per second
const ECHO_EVERY_MS = 400

const $ = (id) => document.getElementById(id)
const number = new Intl.NumberFormat('en')
const NAMES = ['Ada', 'Alan', 'Barbara', 'Dennis', 'Edsger', 'Grace', 'Ken', 'Margaret', 'Niklaus', 'Radia']

const wanted = new URLSearchParams(location.search).get('transport') ?? 'upgrade'
const transports = { polling: ['polling'], websocket: ['websocket'], upgrade: ['polling', 'websocket'] }[wanted]

let socket
let beats = 0
let echo // { sent } while a round trip is under way
let blocked // { beats, seconds } while the server's event loop stands still
const history = []

connect()
setInterval(roundTrip, ECHO_EVERY_MS)
setInterval(showWaiting, 100)

$('name').value = NAMES[Math.floor(Math.random() * NAMES.length)]
document.querySelector(`footer a[href="?transport=${wanted}"]`)?.setAttribute('aria-current', 'page')

$('form').addEventListener('submit', (event) => {
  event.preventDefault()
  send({ type: 'chat', name: $('name').value, text: $('text').value })
  $('text').value = ''
  $('text').focus()
})
$('load').addEventListener('change', ({ target }) => send({ type: 'load', rate: Number(target.value) }))
$('block').addEventListener('click', () => send({ type: 'block' }))

function connect() {
  socket = eio({ transports })
  socket.on('open', showTransport)
  socket.on('upgrade', showTransport)
  socket.on('message', (text) => {
    const message = JSON.parse(text)
    receive[message.type]?.(message)
  })
  socket.on('ping', beat)
  socket.on('close', (reason) => {
    echo = undefined
    $('dot').className = 'dot'
    $('transport').textContent = `closed: ${reason}`
    if (blocked) {
      verdict('bad', `This tab was thrown out (${reason}): the heartbeat needed the thread that was blocked.`)
      blocked = undefined
    }
    setTimeout(connect, 1000)
  })
}

const receive = {
  welcome(message) {
    $('engine').textContent = message.engine
    $('other-name').textContent = message.upstream ? 'Other threads' : 'Rust threads'
    $('seconds').textContent = message.blockSeconds
    $('compare').textContent = message.upstream
      ? `The original, on Node.js ${message.node}. Compare: npm start`
      : `On Node.js ${message.node}. Compare with the original: npm start -- --engine=upstream`
    receive.load({ rate: message.load })
    $('block').disabled = false
  },
  people({ count }) {
    $('people').textContent = count
    $('people-word').textContent = count === 1 ? 'tab' : 'tabs'
  },
  chat({ from, name, text }) {
    const line = document.createElement('li')
    const who = document.createElement('b')
    line.className = from === socket.id ? 'mine' : ''
    who.textContent = name
    line.append(who, text)
    $('log').append(line)
    $('log').scrollTop = $('log').scrollHeight
  },
  echo() {
    if (!echo) return
    const ms = performance.now() - echo.sent
    echo = undefined
    $('rtt').textContent = ms < 10 ? ms.toFixed(1) : number.format(Math.round(ms))
    $('rtt-note').textContent = 'through JavaScript'
  },
  load({ rate }) {
    const choice = document.querySelector(`input[name=load][value="${rate}"]`)
    if (choice) choice.checked = true
  },
  stats({ js, other, loop, rate, connections }) {
    $('js').textContent = percent(js)
    $('other').textContent = percent(other)
    $('loop').textContent = Math.round(loop * 100)
    $('cost').textContent = rate < 500 ? '' : `, ${((js * 1e6) / rate).toFixed(1)} µs JS each`
    $('rate').textContent = number.format(rate)
    $('connections').textContent = number.format(connections)
    $('connections-word').textContent = connections === 1 ? 'connection' : 'connections'
    history.push({ js, other })
    if (history.length > HISTORY) history.shift()
    draw()
  },
  blocked({ seconds }) {
    blocked = { seconds, beats, until: performance.now() + seconds * 1000 }
    $('block').disabled = true
  },
  unblocked() {
    $('block').disabled = false
    if (!blocked) return
    const heard = beats - blocked.beats
    blocked = undefined
    if (socket.transport.name === 'websocket') {
      verdict(
        'good',
        `Still connected: ${plural(heard, 'heartbeat')} came and went while no JavaScript ran on the server.`,
      )
    } else {
      verdict('good', 'Still connected. (Over polling the requests wait for Node.js; try WebSocket.)')
    }
  },
}

function roundTrip() {
  if (echo || socket.readyState !== 'open') return
  echo = { sent: performance.now() }
  send({ type: 'echo' })
}

/** While the answer is late, the figure counts up. */
function showWaiting() {
  const waiting = echo ? performance.now() - echo.sent : 0
  if (waiting > 300) {
    $('rtt').textContent = number.format(Math.round(waiting / 100) * 100)
    $('rtt-note').textContent = 'and still waiting'
  }
  if (blocked) {
    const left = Math.max(0, Math.ceil((blocked.until - performance.now()) / 1000))
    const heard = beats - blocked.beats
    verdict('wait', `The server's event loop is blocked for ${left} s more. Since then: ${plural(heard, 'heartbeat')}.`)
  }
}

function beat() {
  $('beats').textContent = number.format(++beats)
  $('heart').classList.remove('beat')
  void $('heart').offsetWidth // restarts the animation
  $('heart').classList.add('beat')
}

function showTransport() {
  $('dot').className = 'dot on'
  $('transport').textContent = socket.transport.name
}

function verdict(kind, text) {
  $('verdict').className = `verdict ${kind}`
  if ($('verdict').textContent !== text) $('verdict').textContent = text
}

function plural(count, word) {
  return `${count} ${word}${count === 1 ? '' : 's'}`
}

function send(message) {
  socket.send(JSON.stringify(message))
}

function percent(share) {
  const value = share * 100
  return value < 10 ? value.toFixed(1) : String(Math.round(value))
}

function draw() {
  const top = Math.max(1, ...history.map(({ js, other }) => Math.max(js, other)))
  $('top').textContent = `${Math.round(top * 100)} % of one core`
  for (const [id, key] of [
    ['js', 'js'],
    ['native', 'other'],
  ]) {
    const step = 600 / (HISTORY - 1)
    const from = 600 - (history.length - 1) * step
    const points = history.map(
      (sample, n) => `${(from + n * step).toFixed(1)} ${(150 - (sample[key] / top) * 150).toFixed(1)}`,
    )
    $(`line-${id}`).setAttribute('d', `M${points.join('L')}`)
    $(`area-${id}`).setAttribute('d', `M${from.toFixed(1)} 150L${points.join('L')}L600 150Z`)
  }
}
