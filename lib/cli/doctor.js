'use strict'

// `npx engine.io-native doctor`: the state of a project in five lines.

const { spawnSync } = require('child_process')
const fs = require('fs')
const path = require('path')
const { findManager, findUsers, plugAndPlayOf, readJson, settingsOfPnpm } = require('./project')
const { isSwitched, switchBack, switchTo } = require('./switch')
const { version } = require('../../package.json')

const OURS = 'engine.io-native'

/** How each package manager installs, after package.json has changed. */
const INSTALL = { npm: 'npm install', pnpm: 'pnpm install', yarn: 'yarn install', bun: 'bun install' }

/** Where a package manager is told to replace `engine.io`. */
function fieldOf(project) {
  if (project.manager === 'yarn') return '"resolutions" of package.json'
  if (project.manager !== 'pnpm') return '"overrides" of package.json'
  return settingsOfPnpm(project).inWorkspace ? '"overrides" of pnpm-workspace.yaml' : '"pnpm.overrides" of package.json'
}

/**
 * Looks at a project.
 *
 * @param {string} folder
 * @returns {{ lines: string[], isWell: boolean }} what is to be told, and whether all of it is as it should be
 */
function examine(folder) {
  const project = findManager(folder)
  const users = findUsers(project.root)
  const ours = users.filter(isOurs)
  const isComplete = users.length > 0 && ours.length === users.length
  const binary = ours.length > 0 ? loadIn(ours[0].engine.folder, plugAndPlayOf(project.root)) : undefined
  const isWell = isComplete && binary.problem === undefined
  return {
    isWell,
    lines: [
      `engine    ${tellEngines(users)}`,
      `binary    ${tellBinary(project, binary, ours)}`,
      `versions  ${tellVersions(users, ours)}`,
      `switch    ${tellSwitch(project, users, isComplete, findOtherMajors(project, users))}`,
      `back      ${tellBack(project, users)}`,
    ],
  }
}

const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value)
const isOurs = ({ engine }) => engine?.name === OURS

function tellEngines(users) {
  if (users.length === 0)
    return 'no installed package asks for engine.io: install your dependencies first, socket.io for example'
  const told = users.map(({ name, version, where, engine }) => {
    const user = `${name}${version ? ` ${version}` : ''} (${where})`
    if (engine === undefined) return `${user} finds no engine.io`
    return `${user} loads ${engine.name} ${engine.version}${engine.name === OURS ? '' : ', the original'}`
  })
  return told.join('; ')
}

/** Loads the package in a process of its own, as the project would: with Plug'n'Play, it may be in an archive. */
function loadIn(folder, plugAndPlay) {
  const program = `
    try { require(process.argv[1]); console.log('{}') }
    catch (error) { console.log(JSON.stringify({ code: error.code, problem: error.message })) }`
  const args = [...(plugAndPlay ? ['--require', plugAndPlay] : []), '-e', program, folder]
  const { stdout, signal, status } = spawnSync(process.execPath, args, { encoding: 'utf8' })
  const answer = stdout.trim().split('\n').pop()
  return answer ? JSON.parse(answer) : { problem: `Node.js ended with ${signal || `code ${status}`} as it was loaded` }
}

function tellBinary(project, binary, ours) {
  const here = `${process.platform} ${process.arch}, Node.js ${process.version}`
  if (binary === undefined) {
    return fs.existsSync(path.join(project.root, 'node_modules', OURS))
      ? `${OURS} is installed under its own name only, and socket.io loads what has the name engine.io (${here})`
      : `${OURS} is not installed in this project, so none is looked for (${here})`
  }
  if (binary.problem === undefined) return `found, and loads on ${here}`
  const [first] = binary.problem.split('\n')
  return `does not load: ${first.replace(/\.$/, '')} (${binary.code || 'no code'}); ${tellCure(project, binary, ours)}`
}

/** What to do about a binary that does not load. The error's own text has more of it. */
function tellCure({ manager, root }, { code }, [{ engine }]) {
  // an archive of Plug'n'Play cannot be read like a folder
  const page = plugAndPlayOf(root)
    ? `docs/TROUBLESHOOTING.md of ${OURS}`
    : path.join(path.relative(fs.realpathSync(root), engine.folder) || '.', 'docs', 'TROUBLESHOOTING.md')
  const isMissing = code === 'ERR_ENGINE_IO_NATIVE_NOT_FOUND' && !process.env.ENGINE_IO_NATIVE_LIBRARY_PATH
  const install = isMissing ? `run \`${INSTALL[manager]}\` on this platform; ` : ''
  return `${install}${page} says more`
}

function tellVersions(users, ours) {
  const wanted = [
    ...new Set(users.filter(({ range }) => range).map(({ name, range }) => `${name} asks for engine.io ${range}`)),
  ]
  const found = [...new Set(ours.map(({ engine }) => engine.version))]
  const told =
    found.length > 0
      ? found.map((one) => `${OURS} ${one} mirrors engine.io ${one}`)
      : [`${OURS} ${version} would mirror engine.io ${version}`]
  if (found.length > 1) told.push('more than one version is installed')
  for (const { name, range, engine } of users) {
    const [, asked] = /(\d+\.\d+)/.exec(range) || []
    const given = (engine?.name === OURS ? engine.version : version).split('.').slice(0, 2).join('.')
    if (asked !== undefined && !range.includes(OURS) && asked !== given)
      told.push(`${name} was written for ${asked}, not ${given}`)
  }
  return [...wanted, ...told].join('; ')
}

const majorOf = (text) => text.split('.')[0]

/**
 * The uses of an `engine.io` of another major version than ours, which has another API: an override would replace it,
 * too. Each is told in words; what is not installed is told by npm's lock file, or by what a package asks for.
 *
 * @returns {string[]}
 */
function findOtherMajors(project, users) {
  const told = []
  for (const { name, version: its, where, range, engine } of users) {
    const [asked] = /^[~^=v]*\d+(?=$|[.-][^|]*$)/.exec(range) ?? []
    const used = engine && engine.name !== OURS ? engine.version : asked?.replace(/^\D*/, '')
    if (used && majorOf(used) !== majorOf(version))
      told.push(`${name}${its ? ` ${its}` : ''} (${where}) uses engine.io ${used}`)
  }
  if (told.length > 0 || project.manager !== 'npm' || project.lock === undefined) return told
  for (const [where, entry] of lockedEngines(readJson(path.join(project.root, project.lock))))
    if (majorOf(entry.version) !== majorOf(version))
      told.push(`${project.lock} has engine.io ${entry.version} (${where})`)
  return told
}

/** The entries of `engine.io` in npm's lock file, without those that are already this package. */
function lockedEngines(content) {
  return Object.entries(content?.packages ?? {}).filter(
    ([where, entry]) =>
      /(^|\/)node_modules\/engine\.io$/.test(where) && typeof entry?.version === 'string' && entry.name !== OURS,
  )
}

/** Whether the original is in a lock file of npm's, which keeps it in spite of an override. */
function isLocked({ manager, root, lock }) {
  if (manager !== 'npm' || lock === undefined) return false
  return lockedEngines(readJson(path.join(root, lock))).length > 0
}

const tellMajors = (others) =>
  `${OURS} ${version} takes the place of engine.io ${majorOf(version)} only, and ${others.join('; ')}`

function tellSwitch(project, users, isComplete, others) {
  if (others.length > 0) return `do not switch this project: ${tellMajors(others)}`
  if (isComplete) return 'nothing to do: every engine.io of this project is engine.io-native'
  const command = `\`npx ${OURS} doctor --fix\`, then \`${INSTALL[project.manager]}\``
  if (!isSwitched(project)) return `run ${command}: it writes ${fieldOf(project)}`
  if (users.length === 0) return `run \`${INSTALL[project.manager]}\``
  const isSet = `${fieldOf(project)} is set, but not yet installed`
  if (!isLocked(project)) return `${isSet}: run \`${INSTALL[project.manager]}\``
  return `${isSet}. ${project.lock} still names the original, and npm keeps what is locked: run ${command}`
}

function tellBack(project, users) {
  if (isSwitched(project) || users.some(isOurs))
    return `run \`npx ${OURS} doctor --undo\`, then \`${INSTALL[project.manager]}\``
  const isOriginal = users.some(({ engine }) => engine !== undefined)
  return `nothing to do: ${isOriginal ? 'this project uses the original' : `nothing replaces the original, and neither is installed`}`
}

const USAGE = `Usage: npx ${OURS} doctor [--fix | --undo] [folder]

Tells in five lines which engine the packages of a project load, whether its binary loads, the versions, how to
switch to ${OURS}, and how to go back.

  --fix    writes the override into package.json (pnpm since 10.5: pnpm-workspace.yaml), and takes the original out of
           npm's lock file, which would keep it; nothing is installed. A project with another major version of
           engine.io than ${majorOf(version)} (Socket.IO 2 or 3) is refused
  --undo   takes the override back, and the replacement out of a lock file that would keep it
`

/**
 * The command line.
 *
 * @param {string[]} args
 * @returns {number} the exit code: 0 if all is well or was changed, 1 if something is to be done or was refused, 2 for
 *   a mistake in `args`
 */
function main(args, print = console.log) {
  const flags = args.filter((arg) => arg.startsWith('-'))
  const [command, folder = '.', ...rest] = args.filter((arg) => !arg.startsWith('-'))
  const unknown = flags.find((flag) => !['--fix', '--undo', '--help', '-h'].includes(flag))
  if (flags.includes('--help') || flags.includes('-h')) {
    print(USAGE)
    return 0
  }
  const at = path.resolve(folder)
  const mistake =
    (command !== 'doctor' && `expected the command doctor, got ${command === undefined ? 'none' : command}`) ||
    (unknown && `expected --fix or --undo, got ${unknown}`) ||
    (rest.length > 0 && `expected one folder, got also ${rest.join(' ')}`) ||
    (flags.length > 1 && 'expected --fix or --undo, got both') ||
    (!fs.existsSync(path.join(at, 'package.json')) && `expected a folder with a package.json, got ${at}`) ||
    (!isObject(readJson(path.join(at, 'package.json'))) &&
      `expected a JSON object in ${path.join(at, 'package.json')}, got something else`)
  if (mistake) {
    print(`${mistake}\n\n${USAGE}`)
    return 2
  }
  if (flags.length === 0) {
    const { lines, isWell } = examine(at)
    lines.forEach((line) => print(line))
    return isWell ? 0 : 1
  }
  const project = findManager(at)
  const others = flags[0] === '--fix' ? findOtherMajors(project, findUsers(project.root)) : []
  if (others.length > 0) {
    print(`refused   ${tellMajors(others)}: nothing was changed`)
    return 1
  }
  const changed = flags[0] === '--fix' ? switchTo(project, version) : switchBack(project, version)
  if (changed.length === 0) print('nothing had to be changed')
  for (const file of changed) print(`changed   ${path.relative(at, file) || file}`)
  print(`next      ${INSTALL[project.manager]}`)
  return 0
}

module.exports = { examine, main }
