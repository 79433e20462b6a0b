'use strict'
// Which library is loaded, and what is said if there is none.

const assert = require('node:assert')
const { spawnSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')
const { test } = require('node:test')
const { LIBRARY, cleanEnvironment, installApp, tarballs, temporaryDirectory } = require('./support/environment')

const [main, platform] = tarballs()

/** Runs code in an application, and returns what getLoadablePath() returns or the error that it throws. */
function loadablePath(app, { environment = {}, before = '' } = {}) {
    const code = `${before}; console.log(require('litestream-vfs-rs').getLoadablePath())`
    const ended = spawnSync(process.execPath, ['-e', code], { cwd: app, env: cleanEnvironment(environment), encoding: 'utf8' })
    return ended.status === 0 ? ended.stdout.trimEnd() : ended.stderr
}

const property = (name, value) => `Object.defineProperty(process, '${name}', { value: ${JSON.stringify(value)} })`

const arm = `${property('platform', 'linux')}; ${property('arch', 'arm64')}`
const report = (header) => `${arm}; process.report.getReport = () => (${JSON.stringify({ header })})`

/** Returns an application with the main package, and with empty packages for Linux on arm64 with these C libraries. */
function appWithArm(...libcs) {
    const app = installApp([main])
    for (const libc of libcs) {
        const directory = path.join(app, 'node_modules', `litestream-vfs-rs-linux-arm64-${libc}`)
        fs.mkdirSync(directory)
        fs.writeFileSync(path.join(directory, 'package.json'), '{}')
    }
    return app
}

test('the library of the platform package is loaded', () => {
    const app = installApp([main, platform])
    const found = loadablePath(app)
    assert.strictEqual(path.dirname(path.dirname(fs.realpathSync(found))), path.join(fs.realpathSync(app), 'node_modules'))
    assert.ok(fs.readFileSync(found).equals(fs.readFileSync(LIBRARY)))
})

test('LITESTREAM_VFS_PATH overrides it', () => {
    const app = installApp([main])
    assert.strictEqual(loadablePath(app, { environment: { LITESTREAM_VFS_PATH: LIBRARY } }), LIBRARY)
    const absent = path.join(temporaryDirectory(), 'absent.so')
    const error = loadablePath(app, { environment: { LITESTREAM_VFS_PATH: absent } })
    assert.ok(error.includes(`LITESTREAM_VFS_PATH names ${absent}, which does not exist`), error)
})

test('without a platform package, the error names the platform and the remedies', () => {
    const app = installApp([main])
    const here = loadablePath(app)
    assert.ok(here.includes(`the library for ${process.platform} ${process.arch} is not installed`), here)
    assert.match(here, /install litestream-vfs-rs-\S+, .*without --omit=optional.*LITESTREAM_VFS_PATH/)

    assert.match(loadablePath(app, { before: report({}) }), /install litestream-vfs-rs-linux-arm64-musl,/)
    assert.match(loadablePath(app, { before: report({ glibcVersionRuntime: '2.36' }) }), /install litestream-vfs-rs-linux-arm64-gnu,/)
    assert.match(loadablePath(app, { before: property('platform', 'win32') }), /install litestream-vfs-rs-win32-/)
})

test('if the packages for both C libraries are installed, the one for this process is chosen', () => {
    const app = appWithArm('gnu', 'musl')
    assert.match(loadablePath(app, { before: report({}) }), /-linux-arm64-musl\/litestream-vfs\.so$/)
    assert.match(loadablePath(app, { before: report({ glibcVersionRuntime: '2.36' }) }), /-linux-arm64-gnu\/litestream-vfs\.so$/)
})

test('a package for another C library is not used, and the error names the right one', () => {
    assert.match(loadablePath(appWithArm('gnu'), { before: report({}) }), /install litestream-vfs-rs-linux-arm64-musl,/)
    const musl = appWithArm('musl')
    assert.match(loadablePath(musl, { before: report({ glibcVersionRuntime: '2.36' }) }), /install litestream-vfs-rs-linux-arm64-gnu,/)
    // Deno reports glibc everywhere.
    const deno = `globalThis.Deno = {}; ${report({ glibcVersionRuntime: '2.38' })}`
    assert.match(loadablePath(musl, { before: deno }), /-linux-arm64-musl\/litestream-vfs\.so$/)
})

test('for a platform without a library, the error lists those that have one', () => {
    const error = loadablePath(installApp([main, platform]), { before: property('platform', 'aix') })
    assert.match(error, /litestream-vfs-rs has no library for aix .*linux-x64-gnu, .*win32-arm64.*LITESTREAM_VFS_PATH/)
})
