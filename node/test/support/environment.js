'use strict'
// What scripts/test-node has installed.

const { execFileSync } = require('node:child_process')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')

const ROOT = path.join(__dirname, '..', '..', '..')

function setting(name) {
    const value = process.env[name]
    if (!value) throw new Error(`${name} is not set: run scripts/test-node`)
    return value
}

// The directory with Litestream and the JavaScript runtimes, the packages that packaging/npm made, and the library.
const ENVIRONMENT = setting('LITESTREAM_TEST_ENV')
const PACKAGES = setting('LITESTREAM_TEST_PACKAGES')
const LIBRARY = setting('LITESTREAM_TEST_LIBRARY')

/** The path of a program in the environment. */
const program = (name) => path.join(ENVIRONMENT, 'bin', name)

const temporary = []

/** Returns a new directory, which is deleted at the end of the process. */
function temporaryDirectory() {
    const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'litestream-vfs-node-'))
    temporary.push(directory)
    return directory
}

process.on('exit', () => temporary.forEach((directory) => fs.rmSync(directory, { recursive: true, force: true })))

/** The environment of a child process: without settings of this one that change what is tested. */
function cleanEnvironment(more = {}) {
    const kept = Object.entries(process.env).filter(([name]) => !/^(AWS_|LITESTREAM_|NODE_TEST_)/.test(name))
    return { ...Object.fromEntries(kept), ...more }
}

/** Installs packages into a new directory, as a user does, without the network. `modules` are linked from other directories. */
function installApp(tarballs, modules = {}) {
    const app = temporaryDirectory()
    fs.writeFileSync(path.join(app, 'package.json'), JSON.stringify({ private: true }))
    const npm = ['install', '--offline', '--no-audit', '--no-fund', '--loglevel=error', ...tarballs]
    execFileSync('npm', npm, { cwd: app, env: cleanEnvironment(), stdio: ['ignore', 'pipe', 'inherit'] })
    for (const [name, from] of Object.entries(modules)) {
        fs.mkdirSync(path.dirname(path.join(app, 'node_modules', name)), { recursive: true })
        fs.symlinkSync(from, path.join(app, 'node_modules', name))
    }
    return app
}

/** The paths of the packages: the main one first, then that of this platform. */
function tarballs() {
    const paths = fs.readdirSync(PACKAGES).map((name) => path.join(PACKAGES, name))
    return paths.sort((one, other) => one.length - other.length)
}

module.exports = { ENVIRONMENT, LIBRARY, PACKAGES, ROOT, cleanEnvironment, installApp, program, tarballs, temporaryDirectory }
