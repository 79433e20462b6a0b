// A failed open and a failed read say why.

import assert from 'node:assert'
import fs from 'node:fs'
import path from 'node:path'
import { inspect } from 'node:util'
import { ReplicaError, lastError, open, replicaName } from 'litestream-vfs-rs'
import { Database, arrays, directory, one, thrown, url } from './host.mjs'

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
assert.strictEqual(lastError(new Database(':memory:', arrays)), lastError(db))

// The reason is not that of a local file.
const absent = path.join(directory, 'absent', 'app.db')
for (const attach of [(sql) => db.exec(sql), (sql) => db.prepare(sql).run()]) {
    const local = thrown(() => attach(`ATTACH '${absent}' AS other`))
    assert.ok(!(local instanceof ReplicaError) && local.message.endsWith(absent), local.stack)
    // That of a replica has it, and also has it again.
    for (let time = 0; time < 2; time++) {
        const attached = thrown(() => attach(`ATTACH '${replicaName(missing, { openTimeout: '0' })}' AS other`))
        assert.ok(attached instanceof ReplicaError && attached.message.endsWith(lastError(db)), attached.stack)
    }
}
const damaged = path.join(directory, 'damaged.db')
const local = new Database(damaged)
local.exec('PRAGMA page_size = 4096; CREATE TABLE t (x)')
local.close()
fs.writeFileSync(damaged, fs.readFileSync(damaged).fill('x', 4096))
db.exec(`ATTACH '${damaged}' AS other`)
const malformed = thrown(() => db.prepare('SELECT * FROM other.t').get())
assert.match(malformed.message, /^database disk image is malformed/)
assert.ok(!(malformed instanceof ReplicaError), malformed.stack)
db.close()
console.log('ok')
