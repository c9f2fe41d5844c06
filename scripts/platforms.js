'use strict'

/**
 * The prebuilt platforms, each published as `engine.io-native-<name>`. `lib/native/load-addon.js` derives the same
 * names at run time; `__test__/packaging` holds both together.
 *
 * `zigTarget` is what `scripts/cross/build.js` builds for the platform on Linux: Linux libraries need no glibc newer
 * than Node.js itself does (2.28). Windows libraries have the GNU ABI there and the MSVC ABI in a release, which is
 * built on Windows; Node.js loads both, as a library is known to it by C functions alone.
 */
const platforms = [
  {
    name: 'linux-x64-gnu',
    target: 'x86_64-unknown-linux-gnu',
    zigTarget: 'x86_64-unknown-linux-gnu.2.28',
    os: 'linux',
    cpu: 'x64',
    libc: 'glibc',
  },
  {
    name: 'linux-x64-musl',
    target: 'x86_64-unknown-linux-musl',
    zigTarget: 'x86_64-unknown-linux-musl',
    os: 'linux',
    cpu: 'x64',
    libc: 'musl',
  },
  {
    name: 'linux-arm64-gnu',
    target: 'aarch64-unknown-linux-gnu',
    zigTarget: 'aarch64-unknown-linux-gnu.2.28',
    os: 'linux',
    cpu: 'arm64',
    libc: 'glibc',
  },
  {
    name: 'linux-arm64-musl',
    target: 'aarch64-unknown-linux-musl',
    zigTarget: 'aarch64-unknown-linux-musl',
    os: 'linux',
    cpu: 'arm64',
    libc: 'musl',
  },
  {
    name: 'darwin-x64',
    target: 'x86_64-apple-darwin',
    zigTarget: 'x86_64-apple-darwin',
    os: 'darwin',
    cpu: 'x64',
  },
  {
    name: 'darwin-arm64',
    target: 'aarch64-apple-darwin',
    zigTarget: 'aarch64-apple-darwin',
    os: 'darwin',
    cpu: 'arm64',
  },
  {
    name: 'win32-x64-msvc',
    target: 'x86_64-pc-windows-msvc',
    zigTarget: 'x86_64-pc-windows-gnullvm',
    os: 'win32',
    cpu: 'x64',
  },
  {
    name: 'win32-arm64-msvc',
    target: 'aarch64-pc-windows-msvc',
    zigTarget: 'aarch64-pc-windows-gnullvm',
    os: 'win32',
    cpu: 'arm64',
  },
]

module.exports = { platforms }
