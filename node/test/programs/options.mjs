// Settings reach the replica, all other options the host.

import assert from 'node:assert'
import fs from 'node:fs'
import path from 'node:path'
import { open, replicaName } from 'litestream-vfs-rs'
import { Database, directory, host, one, thrown, url } from './host.mjs'

const fixed = open(Database, url, { timeTravel: false, cacheSize: 12345678, pollInterval: '7s', maxStaleness: undefined })
assert.match(thrown(() => one(fixed, "PRAGMA litestream_time = '1 hour ago'")).message, /time_travel/)
assert.strictEqual(JSON.parse(one(fixed, 'PRAGMA litestream_status')).cache_size, 12345678)
fixed.close()

const closed = open(Database, url, { attach: false })
assert.match(thrown(() => closed.exec(`ATTACH '${replicaName(url)}' AS other`)).message, /^unable to open database.*: .*attach is off/)
closed.close()

const cached = open(Database, url, { cacheDir: path.join(directory, 'cache'), hydrationEnabled: true })
assert.ok(one(cached, 'SELECT count(*) FROM items') > 0)
cached.close()
assert.ok(fs.readdirSync(path.join(directory, 'cache')).length > 0)

const failing = thrown(() => open(Database, url, { readTimeout: '5 minutes' }))
assert.match(failing.message, /read_timeout has the value '5 minutes'.*write a duration/)
assert.match(thrown(() => open(Database, url, { cache_size: 1 })).message, /cache_size is written cacheSize/)
assert.match(thrown(() => open(Database, '')).message, /must be a string/)
assert.match(thrown(() => open(class {}, url)).message, /better-sqlite3 or bun:sqlite, or DatabaseSync/)

// A replica is read-only whatever the options say.
const options = { 'node:sqlite': { readBigInts: true, readOnly: false }, 'bun:sqlite': { safeIntegers: true, readonly: false } }
const statements = []
const db = open(Database, url, options[host] ?? { verbose: (sql) => statements.push(sql), readonly: false })
const value = db.prepare('SELECT 1 AS value').get().value
if (host === 'better-sqlite3') assert.deepStrictEqual([value, statements, db.readonly], [1, ['SELECT 1 AS value'], true])
else assert.strictEqual(value, 1n)
assert.match(thrown(() => db.exec('CREATE TABLE t (a)')).message, /readonly/)
db.close()
console.log('ok')
