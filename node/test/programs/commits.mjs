// A commit that fails says why, and one to several databases is not repeated.

import assert from 'node:assert'
import fs from 'node:fs'
import path from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { ReplicaError, isConflict, open, replicaName, runTransaction } from 'litestream-vfs-rs'
import { Database, arrays, directory, one, thrown } from './host.mjs'

const settings = { writeEnabled: true, pollInterval: '1h' }
const at = (name) => path.join(directory, name)
const url = (name) => `file://${at(name)}`

function create(name) {
    const db = open(Database, url(name), settings)
    db.exec('CREATE TABLE t (x)')
    return db
}

// Ways to run a function in a transaction.
const ways = [runTransaction]
if (typeof Database.prototype.transaction === 'function') {
    ways.push((db, run) => db.transaction(run)(db))
    ways.push((db, run) => db.transaction(run).exclusive.immediate(db))
}
for (const [index, way] of ways.entries()) {
    const db = create(`gone-${index}`)
    assert.strictEqual(way(db, () => 7), 7)
    const own = new Error('disk I/O error')
    const raise = () => {
        throw own
    }
    const failed = thrown(() =>
        way(db, (db) => {
            db.exec('INSERT INTO t VALUES (1)')
            fs.rmSync(at(`gone-${index}`), { recursive: true })
        })
    )
    assert.ok(failed instanceof ReplicaError && failed.message.length > failed.cause.message.length, failed.stack)
    // What the function throws stays as it is.
    assert.strictEqual(thrown(() => way(create(`own-${index}`), raise)), own)
    db.close()
}
// A function that commits is not run again, whatever it fails with.
{
    const db = create('ended')
    let runs = 0
    const commits = (error) => () => {
        runs += 1
        db.exec('INSERT INTO t VALUES (1); COMMIT')
        if (error) throw error
    }
    assert.match(thrown(() => runTransaction(db, commits())).message, /must not commit/)
    const conflict = new Error('database is locked')
    assert.strictEqual(thrown(() => runTransaction(db, commits(conflict))), conflict)
    assert.deepStrictEqual([runs, db.prepare('SELECT count(*) AS count FROM t').get().count], [2, 2])
    db.close()
}
// Of a function that is not done when it returns, nothing is written.
{
    const db = create('later')
    const insert = () => db.exec('INSERT INTO t VALUES (1)')
    async function later() {
        insert()
        await null
        insert()
    }
    function* items() {
        insert()
    }
    async function* laterItems() {
        insert()
    }
    const query = { then: insert }
    for (const run of [later, later.bind(null), items, laterItems, () => Promise.reject(new Error('late')), () => query]) {
        const refused = thrown(() => runTransaction(db, run))
        assert.ok(refused instanceof TypeError, refused.stack)
        assert.match(refused.message, /must do all its work before it returns/)
    }
    // An unhandled rejection would end the process here.
    await setImmediate()
    assert.strictEqual(one(db, 'SELECT count(*) FROM t'), 0)
    db.close()
}

if (ways.length > 1) {
    const db = create('interface')
    const insert = db.transaction(function (value) {
        assert.strictEqual(this, context)
        return db.prepare('INSERT INTO t VALUES (?)').run(value).changes
    })
    const context = { insert }
    assert.strictEqual(context.insert(1), 1)
    assert.strictEqual(insert.database, db)
    assert.strictEqual(insert.immediate.default, insert.default)
    assert.throws(() => db.transaction(7), TypeError)
    db.close()
}

// SQLite itself says that a database is full, for which the last reason is none.
const full = create('full')
full.exec('PRAGMA max_page_count = 1')
assert.ok(!(thrown(() => full.exec('CREATE TABLE u AS SELECT randomblob(100000)')) instanceof ReplicaError))
full.close()

// Another writer commits to a replica: the next file of a copy. What the writers of both keep beside the files comes and goes, and stays out of it.
function commitElsewhere(name) {
    const level = (replica) => path.join(at(replica), 'ltx', '0')
    const files = (replica) => fs.readdirSync(level(replica)).filter((file) => /^[0-9a-f]/.test(file))
    const before = files(name)
    const copy = `${name}-copy`
    fs.mkdirSync(level(copy), { recursive: true })
    for (const file of before) fs.copyFileSync(path.join(level(name), file), path.join(level(copy), file))
    const other = open(Database, url(copy), settings)
    other.exec('INSERT INTO t VALUES (7)')
    other.close()
    const [file] = files(copy).filter((file) => !before.includes(file))
    fs.copyFileSync(path.join(level(copy), file), path.join(level(name), file))
}

for (const name of ['main', 'second']) create(name).close()
const db = open(Database, url('main'), { ...settings, ...arrays })
const runs = []
function write(conflicting, ...tables) {
    runs.push(conflicting)
    for (const table of tables) db.exec(`INSERT INTO ${table} VALUES (1)`)
    if (runs.filter((name) => name === conflicting).length === 1) commitElsewhere(conflicting)
}
// What the connection cannot write takes no part in the commit.
db.exec(`ATTACH '${replicaName(url('second'), { pollInterval: '1h' })}' AS second`)
runTransaction(db, () => write('main', 'main.t'))
db.exec('DETACH second')
db.exec(`ATTACH '${replicaName(url('second'), settings)}' AS second`)
const conflict = thrown(() => runTransaction(db, () => write('second', 'main.t', 'second.t')))
assert.ok(isConflict(conflict), conflict.stack)
assert.deepStrictEqual(runs, ['main', 'main', 'second'])
db.close()
console.log('ok')
