// The newest state, past states, and a database that cannot be written.

import assert from 'node:assert'
import { open } from 'litestream-vfs-rs'
import { Database, given, one, rows, thrown, url } from './host.mjs'

const { states, items } = given
const [first, last] = [states.at(0), states.at(-1)]
const count = 'SELECT count(*) FROM items'

const db = open(Database, url)
assert.ok(db instanceof Database)
assert.deepStrictEqual(rows(db, 'SELECT * FROM items ORDER BY id'), items)
assert.strictEqual(one(db, 'PRAGMA integrity_check'), 'ok')
assert.strictEqual(one(db, 'SELECT litestream_txid()'), last.txid)
assert.match(thrown(() => db.exec('DELETE FROM items')).message, /attempt to write a readonly database/)
assert.match(thrown(() => db.prepare('SELECT * FROM absent')).message, /no such table: absent$/)

for (const { txid, count: expected } of states) {
    const past = open(Database, url, { txid })
    assert.strictEqual(one(past, count), expected)
    const time = new Date(one(past, 'SELECT litestream_time()'))
    past.close()
    for (const form of [time, time.toISOString()]) {
        const then = open(Database, url, { time: form })
        assert.strictEqual(one(then, count), expected)
        then.close()
    }
}

one(db, `PRAGMA litestream_txid = '${first.txid}'`)
assert.strictEqual(one(db, count), first.count)
one(db, "PRAGMA litestream_time = 'LATEST'")
assert.strictEqual(one(db, count), last.count)

// The variable of the environment, and URL objects.
process.env.LITESTREAM_REPLICA_URL = 'file:///nowhere'
const again = open(Database, new URL(url))
assert.strictEqual(one(again, count), last.count)
for (const each of [again, db]) each.close()
console.log('ok')
