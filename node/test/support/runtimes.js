'use strict'
// The runtimes and SQLite packages of the tests, and a way to run a program with each.

const { spawn } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')
const { ENVIRONMENT, cleanEnvironment, installApp, tarballs, temporaryDirectory } = require('./environment')
const { LIMIT } = require('./litestream')

const PROGRAMS = path.join(__dirname, '..', 'programs')
const installed = (...parts) => path.join(ENVIRONMENT, 'javascript', 'node_modules', ...parts)

const NODE_22 = [installed('node-22', 'bin', 'node'), '--no-warnings']
const NODE_26 = [installed('node-26', 'bin', 'node'), '--no-warnings']
const BUN = { name: 'bun:sqlite on Bun', host: 'bun:sqlite', command: [installed('.bin', 'bun')] }
const DENO = {
    name: 'node:sqlite on Deno',
    host: 'node:sqlite',
    command: [installed('.bin', 'deno'), 'run', '--allow-all', '--quiet']
}

const BETTER_SQLITE3_13 = {
    name: 'better-sqlite3 13 on Node.js 26',
    host: 'better-sqlite3',
    command: NODE_26,
    betterSqlite3: installed('better-sqlite3')
}

/** Each SQLite package in each runtime that supports it. */
const RUNTIMES = [
    {
        name: "better-sqlite3 12 on the system's Node.js",
        host: 'better-sqlite3',
        command: [process.execPath],
        betterSqlite3: path.join(ENVIRONMENT, 'node', 'node_modules', 'better-sqlite3')
    },
    { ...BETTER_SQLITE3_13, name: 'better-sqlite3 13 on Node.js 22', command: NODE_22 },
    BETTER_SQLITE3_13,
    { name: 'node:sqlite on Node.js 22', host: 'node:sqlite', command: NODE_22 },
    { name: 'node:sqlite on Node.js 26', host: 'node:sqlite', command: NODE_26 },
    DENO,
    // On macOS, Bun uses Apple's SQLite, which cannot load extensions.
    ...(process.platform === 'darwin' ? [] : [BUN, { ...BUN, name: 'node:sqlite on Bun', host: 'node:sqlite' }])
]

const apps = new Map()

/** Returns a directory into which the packages are installed as a user does, with the programs of the tests. */
function appWith(betterSqlite3) {
    if (!apps.has(betterSqlite3)) {
        const builders = ['knex', 'drizzle-orm', 'kysely'].map((name) => [name, installed(name)])
        const modules = betterSqlite3 ? { 'better-sqlite3': betterSqlite3, ...Object.fromEntries(builders) } : {}
        const app = installApp(tarballs(), modules)
        fs.cpSync(PROGRAMS, app, { recursive: true })
        apps.set(betterSqlite3, app)
    }
    return apps.get(betterSqlite3)
}

/** Starts a program. Returns its process, and a promise for everything that it prints, which fails unless that ends with `ok`. */
function start(runtime, program, input, environment = {}) {
    const argument = JSON.stringify({ host: runtime.host, directory: temporaryDirectory(), ...input })
    const [command, ...options] = runtime.command
    const child = spawn(command, [...options, program, argument], {
        cwd: appWith(runtime.betterSqlite3),
        env: cleanEnvironment({ NO_COLOR: '1', ...environment }),
        stdio: ['ignore', 'pipe', 'pipe'],
        timeout: LIMIT * 2
    })
    let printed = ''
    let errors = ''
    child.stdout.on('data', (data) => (printed += data))
    child.stderr.on('data', (data) => (errors += data))
    const ended = new Promise((resolve, reject) => {
        child.once('error', reject)
        child.once('close', (code, signal) => {
            if (code === 0 && printed.endsWith('ok\n')) resolve(printed)
            else reject(new Error(`${program} on ${runtime.name} ended with ${code ?? signal}:\n${printed}${errors}`))
        })
    })
    return { ended, printed: () => printed }
}

const run = (...call) => start(...call).ended

module.exports = { BETTER_SQLITE3_13, DENO, RUNTIMES, appWith, run, start }
