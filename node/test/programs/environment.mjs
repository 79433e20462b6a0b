// LITESTREAM_REPLICA_URL names the replica.

import assert from 'node:assert'
import { open } from 'litestream-vfs-rs'
import { Database, given, one } from './host.mjs'

const db = open(Database)
assert.strictEqual(one(db, 'SELECT count(*) FROM items'), given.states.at(-1).count)
db.close()
console.log('ok')
