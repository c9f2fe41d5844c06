'use strict'

const { monitorEventLoopDelay } = require('perf_hooks')
const { setTimeout, clearTimeout } = require('timers')

/** The resolution of the measurement, in milliseconds. */
const RESOLUTION = 10

/** Milliseconds without a question after which the measurement ends. */
const PATIENCE = 10 * 60 * 1000

/** Nanoseconds in a millisecond. */
const NS = 1e6

let histogram
let timer

/**
 * Returns how late the event loop has been since the last call, in milliseconds; undefined where the runtime cannot
 * tell. The measurement begins with the first call, because it wakes the event loop a hundred times a second, which an
 * idle process would feel, and ends ten minutes after the last call.
 */
function eventLoopDelay() {
  if (typeof monitorEventLoopDelay !== 'function') return undefined
  clearTimeout(timer)
  timer = setTimeout(stop, PATIENCE)
  timer.unref()
  if (histogram === undefined) {
    histogram = monitorEventLoopDelay({ resolution: RESOLUTION })
    histogram.enable()
  }
  const { count } = histogram
  // each value has the time between two looks
  const late = (ns) => (count > 0 ? Math.max(0, ns / NS - RESOLUTION) : 0)
  const delay = {
    count,
    mean: late(histogram.mean),
    p50: late(histogram.percentile(50)),
    p99: late(histogram.percentile(99)),
    max: late(histogram.max),
  }
  histogram.reset()
  return delay
}

function stop() {
  histogram.disable()
  histogram = undefined
}

module.exports = { eventLoopDelay }
