// What all programs share. A program runs in each runtime with each SQLite package, and ends with `ok`.

import assert from 'node:assert'

export const { host, url, directory, ...given } = JSON.parse(process.argv[2])

async function databaseClass() {
    if (host === 'node:sqlite') return (await import('node:sqlite')).DatabaseSync
    if (host === 'bun:sqlite') return (await import('bun:sqlite')).Database
    return (await import('better-sqlite3')).default
}

export const Database = await databaseClass()

// The option that makes the host return rows as arrays, if it has one.
export const arrays = host === 'node:sqlite' && !('Bun' in globalThis) ? { returnArrays: true } : {}

export const one = (db, sql, ...values) => Object.values(db.prepare(sql).get(...values))[0]

const plain = (value) => (value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value)

/** Rows in a form that all hosts and JSON have in common. */
export const rows = (db, sql) => db.prepare(sql).all().map((row) => Object.values(row).map(plain))

/** Returns the error that `call` throws. */
export function thrown(call) {
    try {
        call()
    } catch (error) {
        return error
    }
    return assert.fail('no error was thrown')
}
