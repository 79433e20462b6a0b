// A replica on an S3 server, and one that is not there.

import assert from 'node:assert'
import { ReplicaError, open } from 'litestream-vfs-rs'
import { Database, given, one, thrown, url } from './host.mjs'

const db = open(Database, url)
assert.strictEqual(one(db, 'SELECT name FROM items'), 'on S3')
db.close()

const failed = thrown(() => open(Database, given.other, { openTimeout: '0' }))
assert.ok(failed instanceof ReplicaError)
assert.match(failed.message, /: cannot open .*: no backup is found at s3:\/\/bucket\/other; check the URL/)
assert.ok(!failed.message.includes('not-a-secret'))
console.log('ok')
