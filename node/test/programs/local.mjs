// Local databases of the same program are as before, also with the VFS as the default.

import assert from 'node:assert'
import fs from 'node:fs'
import path from 'node:path'
import { load, open, replicaName } from 'litestream-vfs-rs'
import { Database, directory, given, host, one, url } from './host.mjs'

const count = given.states.at(-1).count
const loader = new Database(':memory:', host === 'node:sqlite' ? { allowExtension: true } : {})
load(loader, { defaultVfs: true })
load(loader, { defaultVfs: true })

const file = path.join(directory, 'local.db')
for (const name of [':memory:', '', file]) {
    const local = new Database(name)
    local.exec('PRAGMA journal_mode = WAL; CREATE TABLE t (a); INSERT INTO t VALUES (1), (2), (3)')
    assert.strictEqual(one(local, 'SELECT sum(a) FROM t'), 6)
    local.exec(`ATTACH '${replicaName(url)}' AS replica`)
    assert.strictEqual(one(local, 'SELECT count(*) FROM replica.items'), count)
    local.exec('CREATE TABLE copied AS SELECT * FROM replica.items')
    assert.strictEqual(one(local, 'SELECT count(*) FROM copied'), count)
    local.close()
}
assert.ok(fs.statSync(file).size > 0)

// Names of replicas, wherever the host opens a name.
const names = [replicaName(url), replicaName(url, { txid: given.states[0].txid }), `litestream:${encodeURIComponent(url)}`]
const counts = [count, given.states[0].count, count]
for (const [index, name] of names.entries()) {
    const db = new Database(name)
    assert.strictEqual(one(db, 'SELECT count(*) FROM items'), counts[index])
    db.close()
}
const opened = open(Database, url)
assert.strictEqual(one(opened, 'SELECT count(*) FROM items'), count)
opened.close()
assert.deepStrictEqual(fs.readdirSync(directory).filter((name) => !name.startsWith('local.db-')), ['local.db'])
console.log('ok')
