// The module in a context with classes of its own, which Jest gives to modules: hosts, and much of Node.js, use those of the main one.

import assert from 'node:assert'
import fs from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import vm from 'node:vm'
import { Database, directory, one, thrown, url } from './host.mjs'

const context = vm.createContext({ process, URL: class {} })
const loaded = new Map()

/** Returns what a file of a package exports, if the file and those that it requires run in the context. */
function load(file) {
    if (!file.endsWith('.js')) return createRequire(file)(file)
    if (!loaded.has(file)) {
        const { resolve } = createRequire(file)
        const require = (name) => (name.startsWith('.') ? load(resolve(name)) : createRequire(file)(name))
        const module = { exports: {} }
        const run = vm.runInContext(`(function (module, require) {${fs.readFileSync(file, 'utf8')}\n})`, context, { filename: file })
        run(module, Object.assign(require, { resolve }))
        loaded.set(file, module.exports)
    }
    return loaded.get(file)
}

const { ReplicaError, isConflict, lastError, open, runTransaction } = load(createRequire(import.meta.url).resolve('litestream-vfs-rs'))
assert.ok(!(new ReplicaError(new Error('another class'), '') instanceof Error))

const db = open(Database, new URL(url), { time: new Date() })
assert.match(one(db, 'SELECT litestream_txid()'), /^[0-9a-f]{16}$/)
db.close()

const missing = path.join(directory, 'missing')
const failed = thrown(() => open(Database, pathToFileURL(missing), { openTimeout: '0' }))
assert.ok(failed instanceof ReplicaError && failed.message.includes(missing), failed.stack)

const [writer, other] = [1, 2].map(() => new Database(path.join(directory, 'local.db')))
writer.exec('CREATE TABLE t (x); BEGIN IMMEDIATE')
other.exec('PRAGMA busy_timeout = 0')
const busy = thrown(() => other.exec('BEGIN IMMEDIATE'))
assert.ok(isConflict(busy), busy.stack)
assert.ok(failed.message.endsWith(lastError(other)))
let runs = 0
assert.strictEqual(thrown(() => runTransaction(other, () => runs++, { tries: 2 })).message, busy.message)
writer.exec('ROLLBACK')
const once = (db) => {
    runs++
    if (runs === 1) throw busy
    db.exec('INSERT INTO t VALUES (7)')
}
runTransaction(other, once)
assert.deepStrictEqual([runs, one(writer, 'SELECT sum(x) FROM t')], [2, 7])
for (const each of [writer, other]) each.close()
console.log('ok')
