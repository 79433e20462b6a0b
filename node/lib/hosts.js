'use strict'
// The SQLite packages that can open replicas, and how they differ.

const { pathOf, uriOf } = require('./settings')

// Registers the VFS under a name only, or also as the default of the process.
const ENTRY_POINT = 'sqlite3_litestreamvfs_init'
const DEFAULT_ENTRY_POINT = 'sqlite3_litestreamdefault_init'

const hasMethod = (method) => (prototype) => typeof prototype.loadExtension === 'function' && typeof prototype[method] === 'function'
const isNodeSqlite = hasMethod('applyChangeset')

const HOSTS = [
    {
        // Deno. Without all permissions, it makes a URI a path without parameters.
        matches: (prototype) => 'Deno' in globalThis && isNodeSqlite(prototype),
        name: pathOf,
        defaultVfs: true,
        loading: () => ({ allowExtension: true }),
        mode: (writable) => ({ readOnly: !writable })
    },
    {
        // Node.js, which enables URIs.
        matches: isNodeSqlite,
        name: uriOf,
        defaultVfs: false,
        loading: () => ({ allowExtension: true }),
        mode: (writable) => ({ readOnly: !writable })
    },
    {
        // Bun.
        matches: hasMethod('query'),
        name: uriOf,
        defaultVfs: true,
        loading: () => ({}),
        mode: (writable) => (writable ? { readonly: false, readwrite: true, create: true } : { readonly: true })
    },
    {
        // better-sqlite3, and its forks with the same interface. An entry point for one platform refuses the option.
        matches: hasMethod('unsafeMode'),
        name: uriOf,
        defaultVfs: true,
        loading: ({ nativeBinding }) => (nativeBinding == null ? {} : { nativeBinding }),
        mode: (writable) => ({ readonly: !writable })
    }
]

/** Returns the host to which a prototype of databases belongs. */
function hostOf(prototype) {
    const host = HOSTS.find(({ matches }) => prototype && matches(prototype))
    if (host) return host
    const names = 'Database of better-sqlite3 or bun:sqlite, or DatabaseSync of node:sqlite'
    throw new TypeError(`litestream-vfs-rs needs ${names}; other programs can load the library at getLoadablePath()`)
}

/** Loads the extension through a connection. */
function loadInto(db, library, defaultVfs) {
    db.loadExtension(library, defaultVfs ? DEFAULT_ENTRY_POINT : ENTRY_POINT)
}

module.exports = { hostOf, loadInto }
