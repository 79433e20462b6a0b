'use strict'
// What packaging/npm makes of the archives of a release.

const assert = require('node:assert')
const { execFileSync, spawnSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')
const { test } = require('node:test')
const { ROOT, cleanEnvironment, tarballs, temporaryDirectory } = require('./support/environment')
const platforms = require('../lib/platforms.json')

const VERSION = execFileSync(path.join(ROOT, 'packaging', 'version'), { encoding: 'utf8' }).trim()

/** Writes archives with the names and the layout of packaging/package, whose libraries contain the name of the platform. */
function archives() {
    const directory = temporaryDirectory()
    for (const { release, file } of platforms) {
        const name = `litestream-vfs-v${VERSION}-${release}`
        fs.mkdirSync(path.join(directory, name))
        fs.writeFileSync(path.join(directory, name, file), release)
        fs.writeFileSync(path.join(directory, name, 'THIRD-PARTY-LICENSES.txt'), 'licences')
        const module = release.startsWith('windows') ? ['zipfile', `${name}.zip`] : ['tarfile', `${name}.tar.gz`]
        execFileSync('python3', ['-m', module[0], '-c', module[1], name], { cwd: directory })
    }
    return directory
}

/** Returns the files of a package. */
function contents(directory, name) {
    const out = path.join(directory, name)
    fs.mkdirSync(out)
    execFileSync('tar', ['-xzf', path.join(directory, 'npm', `${name}-${VERSION}.tgz`), '-C', out])
    const read = (file) => fs.readFileSync(path.join(out, 'package', file), 'utf8')
    return { files: fs.readdirSync(path.join(out, 'package')).sort(), manifest: JSON.parse(read('package.json')), read }
}

test('each release archive becomes a package for its platform', () => {
    const directory = archives()
    execFileSync(path.join(ROOT, 'packaging', 'npm'), [path.join(directory, 'npm'), directory])
    for (const { name, os, cpu, libc, file, release } of platforms) {
        const { files, manifest, read } = contents(directory, `litestream-vfs-rs-${name}`)
        const expected = ['LICENSE-APACHE', 'LICENSE-MIT', 'README.md', 'THIRD-PARTY-LICENSES.txt', file, 'package.json']
        assert.deepStrictEqual(files, expected.sort())
        assert.strictEqual(read(file), release)
        assert.deepStrictEqual([manifest.version, manifest.os, manifest.cpu, manifest.libc], [VERSION, [os], [cpu], libc && [libc]])
        // Yarn puts the library into a directory, from which it can be loaded.
        assert.strictEqual(manifest.preferUnplugged, true)
    }

    const { files, manifest } = contents(directory, 'litestream-vfs-rs')
    for (const name of manifest.files) assert.ok(files.includes(name), name)
    assert.strictEqual(manifest.version, VERSION)
    const dependencies = platforms.map(({ name }) => [`litestream-vfs-rs-${name}`, VERSION])
    assert.deepStrictEqual(manifest.optionalDependencies, Object.fromEntries(dependencies))
})

test('npm installs the package for this platform, and no other', () => {
    const directory = archives()
    execFileSync(path.join(ROOT, 'packaging', 'npm'), [path.join(directory, 'npm'), directory])
    const [, forThis] = tarballs().map((tarball) => path.basename(tarball))
    for (const { name } of platforms) {
        const tarball = `litestream-vfs-rs-${name}-${VERSION}.tgz`
        const options = { cwd: temporaryDirectory(), env: cleanEnvironment(), encoding: 'utf8' }
        const ended = spawnSync('npm', ['install', '--offline', '--no-audit', path.join(directory, 'npm', tarball)], options)
        if (tarball === forThis) assert.strictEqual(ended.status, 0, ended.stderr)
        else assert.match(ended.stderr, /EBADPLATFORM/)
    }
})

test('the platforms are those of the releases', () => {
    const workflow = fs.readFileSync(path.join(ROOT, '.github', 'workflows', 'release.yml'), 'utf8')
    const released = [...workflow.matchAll(/\{ platform: ([^,]+),/g)].map(([, platform]) => platform)
    assert.deepStrictEqual(platforms.map(({ release }) => release).sort(), released.sort())
})
