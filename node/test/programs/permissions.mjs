// With few permissions, Deno reads a replica, its past states and its errors.

import assert from 'node:assert'
import { open } from 'litestream-vfs-rs'
import { Database, given, one, thrown, url } from './host.mjs'

for (const { txid, count } of given.states) {
    const db = open(Database, url, { txid })
    assert.strictEqual(one(db, 'SELECT count(*) FROM items'), count)
    db.close()
}
const failed = thrown(() => open(Database, 'nats://user:p4ssw0rd@127.0.0.1:1/bucket'))
assert.match(failed.message, /^unable to open database file: .*nats:/)
assert.ok(!`${failed.stack}${failed.cause.stack}`.includes('p4ssw0rd'), failed.stack)
console.log('ok')
