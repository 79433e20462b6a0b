// An open connection sees the transactions of the primary, also in the middle of the program.

import assert from 'node:assert'
import { open } from 'litestream-vfs-rs'
import { Database, one, url } from './host.mjs'

const db = open(Database, url, { pollInterval: '50ms' })
const before = one(db, 'SELECT count(*) FROM items')
const next = (BigInt(`0x${one(db, 'SELECT litestream_txid()')}`) + 1n).toString(16).padStart(16, '0')
const statement = db.prepare('SELECT count(*) AS count FROM items')
console.log('opened')
assert.strictEqual(one(db, 'SELECT litestream_wait(?, 60)', next), 1)
assert.strictEqual(statement.get().count, before + 1)
db.close()
console.log('ok')
