// A replica that is written, and conflicts.

import assert from 'node:assert'
import { ReplicaError, isConflict, open, runTransaction } from 'litestream-vfs-rs'
import { Database, given, host, one, thrown, url } from './host.mjs'

const options = host === 'bun:sqlite' ? {} : { timeout: 1 }
const db = open(Database, url, { ...options, writeEnabled: true, compaction: '10s' })
runTransaction(db, (db) => {
    db.exec('CREATE TABLE IF NOT EXISTS counter (number INTEGER)')
    db.exec('CREATE TABLE IF NOT EXISTS note (text TEXT)')
})

function increment(db) {
    if (one(db, 'SELECT count(*) FROM counter') === 0) db.exec('INSERT INTO counter VALUES (0)')
    db.exec('UPDATE counter SET number = number + 1')
    return one(db, 'SELECT number FROM counter')
}
const numbers = Array.from({ length: given.increments }, () => runTransaction(db, increment, { tries: 100 }))
assert.deepStrictEqual(numbers, numbers.toSorted((one, other) => one - other))

// Another connection is writing.
const other = open(Database, url, { ...options, writeEnabled: true })
other.exec('BEGIN IMMEDIATE')
let runs = 0
const busy = thrown(() => runTransaction(db, () => runs++, { tries: 2 }))
assert.ok(isConflict(busy) && !(busy instanceof ReplicaError), busy.stack)
other.exec('ROLLBACK')

// Another connection has written after this transaction has read: it is run again.
const read = runTransaction(db, () => {
    runs++
    return one(db, 'SELECT number FROM counter')
})
db.exec('BEGIN')
one(db, 'SELECT number FROM counter')
runTransaction(other, (other) => other.exec("INSERT INTO note VALUES ('first')"))
const stale = thrown(() => db.exec('UPDATE counter SET number = 0'))
assert.ok(isConflict(stale), stale.stack)
const code = { 'better-sqlite3': stale.code, 'bun:sqlite': stale.code, 'node:sqlite': stale.errcode }[host]
// Deno's errors have no codes.
const codes = ['SQLITE_BUSY_SNAPSHOT', 517, ...('Deno' in globalThis ? [undefined] : [])]
assert.ok(codes.includes(code), `${code}`)
db.exec('ROLLBACK')
assert.ok(runs === 1 && one(db, 'SELECT number FROM counter') >= read)

// Other errors are not repeated, and nothing is left of the transaction.
const failed = thrown(() =>
    runTransaction(db, (db) => {
        runs++
        db.exec('UPDATE counter SET number = -1')
        throw new RangeError('stop')
    })
)
assert.ok(failed instanceof RangeError && runs === 2)
assert.ok(one(db, 'SELECT number FROM counter') >= read)

// Only this option makes a connection writable, and a past state is never written.
const reader = open(Database, url)
assert.match(thrown(() => reader.exec('DELETE FROM counter')).message, /^attempt to write a readonly database/)
const past = open(Database, url, { writeEnabled: true, txid: one(db, 'SELECT litestream_txid()') })
assert.match(thrown(() => past.exec('DELETE FROM counter')).message, /readonly database: .*fixed state, which cannot be written/)
for (const each of [db, other, reader, past]) each.close()
console.log('ok')
