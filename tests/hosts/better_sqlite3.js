// better-sqlite3 does not enable URI names. Its plain databases work, and with the default VFS it opens replicas by name.
const assert = require('node:assert')
const path = require('node:path')
const Database = require('better-sqlite3')

const [extension, directory, url] = process.argv.slice(2)
const memory = new Database(':memory:')
memory.loadExtension(extension)
memory.loadExtension(extension)
assert.throws(() => memory.prepare('SELECT litestream_txid()').get(), /'main'/)

for (const sql of ["SELECT litestream_set_time('LATEST')", 'SELECT * FROM litestream_history', "SELECT * FROM litestream_changes('now')"]) {
    assert.throws(() => memory.prepare(sql).get(), /'main' is not read through/)
}
assert.deepStrictEqual(memory.prepare('SELECT * FROM litestream_status').all(), [])

for (const name of [':memory:', path.join(directory, 'plain.db'), path.join(directory, 'other.db')]) {
    const plain = new Database(name)
    plain.exec('CREATE TABLE t (a); INSERT INTO t VALUES (1), (2), (3)')
    assert.strictEqual(plain.prepare('SELECT sum(a) AS sum FROM t').get().sum, 6)
    assert.throws(() => plain.prepare('SELECT litestream_txid()').get(), /'main'/)
    plain.loadExtension(extension)
    plain.close()
}
memory.exec(`ATTACH '${path.join(directory, 'plain.db')}' AS plain`)
assert.strictEqual(memory.prepare('SELECT count(*) AS count FROM plain.t').get().count, 3)

memory.loadExtension(extension, 'sqlite3_litestreamdefault_init')
const encoded = encodeURIComponent(url)
for (const name of [`litestream:${encoded}`, `file:app.db?vfs=litestream&replica_url=${encoded}`]) {
    for (const options of [{}, { readonly: true }]) {
        const replica = new Database(name, options)
        assert.strictEqual(replica.prepare('SELECT count(*) AS count FROM orders').get().count, 632)
        assert.throws(() => replica.exec('DELETE FROM orders'), /readonly/)
        replica.close()
    }
}
const plain = new Database(path.join(directory, 'plain.db'))
plain.pragma('journal_mode = WAL')
plain.exec('INSERT INTO t VALUES (4)')
assert.strictEqual(plain.prepare('SELECT sum(a) AS sum FROM t').get().sum, 10)
console.log('ok')
