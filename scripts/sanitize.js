'use strict'

// Runs the tests under tools that find faults of memory and threads. Linux only; not part of CI, because each takes minutes.
//
//   node scripts/sanitize.js address     the Rust tests with the address sanitizer (and its search for leaks)
//   node scripts/sanitize.js thread      the Rust tests with the thread sanitizer
//   node scripts/sanitize.js valgrind    the Rust tests under valgrind (Debian: apt-get install valgrind)
//   node scripts/sanitize.js miri        the pure parts under miri (rustup component add miri --toolchain nightly)
//   node scripts/sanitize.js addon       the addon, with the address sanitizer, in Node.js: behaviour and conformance tests
//
// The sanitizers ship with the stable toolchain; their flag is unstable, so RUSTC_BOOTSTRAP is set.

const { spawnSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')
const { fail, root, run } = require('./setup')

const HOST = /host: (\S+)/.exec(spawnSync('rustc', ['-vV'], { encoding: 'utf8' }).stdout)?.[1]
/** The core alone; doctests would need flags of their own. */
const CORE = ['--no-default-features', '--features', 'owner-reads', '--lib', '--tests']
/** Simulations and large messages: hours under valgrind. */
const SLOW = ['simulation', 'websocket_faults', 'websocket_deflate', 'websocket_tungstenite']
const PURE = [
  'protocol_v3',
  'protocol_v4',
  'session_closing',
  'session_excuse',
  'session_heartbeat',
  'session_polling',
  'session_upgrade',
]

const modes = {
  address: () => cargo('test', 'address', CORE),
  thread: () =>
    // test harness and standard library are not instrumented
    cargo('test', 'thread', CORE, { TSAN_OPTIONS: `suppressions=${path.join(__dirname, 'thread-sanitizer.txt')}` }),
  valgrind,
  miri() {
    const tests = PURE.flatMap((name) => ['--test', name])
    const env = { MIRIFLAGS: '-Zmiri-disable-isolation', CARGO_TARGET_DIR: path.join(root, 'target/miri') }
    run('cargo', ['+nightly', 'miri', 'test', '--no-default-features', ...tests, '--', '--skip', 'linear'], { env })
  },
  addon,
}

const mode = modes[process.argv[2]]
if (process.platform !== 'linux') fail('The sanitizers are set up for Linux only.')
if (!mode) fail(`Which one? ${Object.keys(modes).join(', ')}.`)
mode()

function cargo(command, sanitizer, args, env = {}) {
  const flags = [
    `-Zsanitizer=${sanitizer}`,
    ...(sanitizer === 'thread' ? ['-Cunsafe-allow-abi-mismatch=sanitizer'] : []),
  ]
  // a target of its own keeps the flags away from build scripts
  const target = path.join(root, `target/sanitize-${sanitizer}`)
  const all = { RUSTC_BOOTSTRAP: '1', RUSTFLAGS: flags.join(' '), CARGO_TARGET_DIR: target, ...env }
  run('cargo', [command, '--target', HOST, ...args], { env: all })
  return path.join(target, HOST, 'debug')
}

function valgrind() {
  const built = spawnSync('cargo', ['test', ...CORE, '--no-run', '--message-format=json'], {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
    maxBuffer: 1 << 28,
  })
  if (built.status !== 0) fail('the build failed')
  const messages = built.stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  const binaries = messages.filter((message) => message.executable && !SLOW.includes(message.target.name))
  for (const { executable } of binaries) {
    run('valgrind', [
      '-q',
      '--error-exitcode=9',
      '--leak-check=full',
      '--show-leak-kinds=definite',
      '--errors-for-leak-kinds=definite',
      executable,
      '--test-threads=1',
    ])
  }
}

function addon() {
  // optimised, because some tests wait for compression; overflow checks stay on
  const built = path.join(cargo('build', 'address', ['--config', 'profile.dev.opt-level=2']), 'libengine_io_native.so')
  // Node.js is not instrumented: the runtime has to be there before the addon
  const runtime = spawnSync('gcc', ['-print-file-name=libasan.so'], { encoding: 'utf8' }).stdout?.trim()
  if (!path.isAbsolute(runtime ?? '')) fail('libasan.so is needed (it comes with gcc).')
  const files = ['behaviour', 'conformance'].flatMap((folder) => {
    const directory = path.join('__test__', folder)
    return fs
      .readdirSync(path.join(root, directory))
      .filter((file) => file.endsWith('.test.js'))
      .map((file) => path.join(directory, file))
  })
  const copy = path.join(path.dirname(built), 'address.node')
  fs.copyFileSync(built, copy)
  run(process.execPath, ['--test', '--test-concurrency=1', ...files], {
    env: { LD_PRELOAD: runtime, ASAN_OPTIONS: 'detect_leaks=0', ENGINE_IO_NATIVE_LIBRARY_PATH: copy, ENGINE: 'native' },
  })
}
