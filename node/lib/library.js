'use strict'
// Finds the extension's library.

const fs = require('node:fs')
const path = require('node:path')
const platforms = require('./platforms.json')

// True if this process runs on musl, false on glibc, undefined if the runtime does not report it.
function isMusl() {
    const { report } = process
    // Deno always reports glibc, also on Alpine.
    if (process.platform !== 'linux' || 'Deno' in globalThis || !report?.getReport) return undefined
    // The report need not look up the names of hosts.
    const { excludeNetwork } = report
    report.excludeNetwork = true
    try {
        return !report.getReport().header.glibcVersionRuntime
    } finally {
        report.excludeNetwork = excludeNetwork
    }
}

// Leaves out the platforms with another C library than that of this process.
function withThisLibc(found) {
    const musl = isMusl()
    return musl === undefined ? found : found.filter(({ libc }) => (libc === 'musl') === musl)
}

function installed({ name, file }) {
    try {
        return path.join(path.dirname(require.resolve(`litestream-vfs-rs-${name}/package.json`)), file)
    } catch (error) {
        if (error.code === 'MODULE_NOT_FOUND') return undefined
        throw error
    }
}

function missing(fits) {
    const here = `${process.platform} ${process.arch}`
    if (fits.length === 0) {
        const all = platforms.map(({ name }) => name).join(', ')
        return new Error(`litestream-vfs-rs has no library for ${here}, only for ${all}: build it, and set LITESTREAM_VFS_PATH to its path`)
    }
    const packages = fits.map(({ name }) => `litestream-vfs-rs-${name}`).join(' or ')
    return new Error(
        `the library for ${here} is not installed: install ${packages}, which is an optional dependency of litestream-vfs-rs ` +
            '(install on the system that runs it, without --omit=optional), or set LITESTREAM_VFS_PATH to the path of the library'
    )
}

/** Returns the path of the library, for any program that loads SQLite extensions. */
function getLoadablePath() {
    const override = process.env.LITESTREAM_VFS_PATH
    if (override) {
        if (!fs.existsSync(override)) throw new Error(`LITESTREAM_VFS_PATH names ${override}, which does not exist`)
        return path.resolve(override)
    }
    const fits = platforms.filter(({ os, cpu }) => os === process.platform && cpu === process.arch)
    const candidates = withThisLibc(fits)
    const platform = candidates.find(installed)
    if (!platform) throw missing(candidates)
    return installed(platform)
}

module.exports = { getLoadablePath }
