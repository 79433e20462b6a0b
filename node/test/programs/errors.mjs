// A failed open and a failed read say why.

import assert from 'node:assert'
import fs from 'node:fs'
import path from 'node:path'
import { inspect } from 'node:util'
import { ReplicaError, lastError, open } from 'litestream-vfs-rs'
import { Database, directory, one, thrown, url } from './host.mjs'

const missing = `file://${path.join(directory, 'missing')}`
const failed = thrown(() => open(Database, missing, { openTimeout: '0' }))
assert.ok(failed instanceof ReplicaError && failed instanceof Error)
assert.strictEqual(failed.name, 'ReplicaError')
assert.ok(failed.message.includes(path.join(directory, 'missing')), failed.message)
assert.match(failed.message, /^unable to open database file: .*no backup is found at file:/)
assert.match(failed.cause.message, /^unable to open database file/)
assert.notStrictEqual(failed.cause.message, failed.message)
assert.strictEqual(failed.code, failed.cause.code)

const secret = thrown(() => open(Database, 'nats://user:p4ssw0rd@127.0.0.1:1/bucket', { openTimeout: '5s' }))
assert.match(secret.message, /nats:/)
assert.ok(!inspect(secret).includes('p4ssw0rd'), inspect(secret))

// A copy of the replica, which disappears after the open.
const copy = path.join(directory, 'copy')
fs.cpSync(new URL(url), copy, { recursive: true })
const db = open(Database, `file://${copy}`, { cacheSize: 65536, diskCacheSize: 0 })
assert.ok(one(db, 'SELECT count(*) FROM sqlite_schema') > 0)
fs.rmSync(copy, { recursive: true })
const statement = db.prepare('SELECT sum(length(data)) FROM bulk')
const scan = () => [...db.prepare('SELECT data FROM bulk').iterate()]
// Deno's iterators end without an error.
const reads = [() => statement.get(), () => statement.all(), ...('Deno' in globalThis ? [] : [scan])]
for (const read of reads) {
    const unread = thrown(read)
    assert.ok(unread instanceof ReplicaError, unread.stack)
    assert.ok(unread.message.includes(copy), unread.message)
    assert.ok(unread.message.startsWith(`${unread.cause.message}: `), unread.message)
    assert.strictEqual(lastError(db), unread.message.slice(unread.cause.message.length + 2))
}
db.close()
console.log('ok')
