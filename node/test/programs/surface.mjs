// Uses every method of better-sqlite3 that its documentation lists, and prints what each returns or throws. The test compares the output
// with the extension as the default VFS to that without it.

import fs from 'node:fs'
import path from 'node:path'
import { load } from 'litestream-vfs-rs'
import { Database, directory, given } from './host.mjs'

if (given.defaultVfs) load(new Database(':memory:'), { defaultVfs: true })
process.chdir(directory)

const shown = (value) => JSON.stringify(value, (_, each) => (typeof each === 'bigint' ? `${each}n` : each))
const print = (...words) => console.log(words.join(' ').replaceAll(directory, '<directory>'))

async function show(what, call) {
    try {
        print(what, shown(await call()))
    } catch (error) {
        print(what, 'throws', error.name, error.code, error.message)
    }
}

const fill = `
    CREATE TABLE t (id INTEGER PRIMARY KEY, a, b);
    INSERT INTO t (a, b) VALUES (1, NULL), (2.5, x'00ff'), ('text', 9007199254740993)`
const FILES = ['plain.db', path.join(directory, 'absolute.db'), 'with space?&%#.db', 'file:colon.db', 'ünï.db']
const NAMES = [...FILES, ':memory:', '', 'none/x.db', '.', 'file:none/x.db']

for (const name of NAMES) {
    await show(`open ${name}`, () => {
        const db = new Database(name)
        db.exec(fill)
        const state = [db.name, db.open, db.memory, db.readonly, db.inTransaction, db.prepare('SELECT a FROM t').pluck().all()]
        db.close()
        return [...state, db.open]
    })
    for (const options of [{ readonly: true }, { fileMustExist: true }, { readonly: true, fileMustExist: true }]) {
        await show(`open ${name} ${shown(options)}`, () => new Database(name, options).prepare('SELECT count(*) FROM t').pluck().get())
    }
}
await show('no file', () => new Database('absent.db', { fileMustExist: true }))
await show('not a database', () => {
    fs.writeFileSync('junk.db', 'x'.repeat(5000))
    return new Database('junk.db').pragma('user_version')
})

const log = []
const db = new Database('main.db', { verbose: (sql) => log.push(sql), timeout: 50 })
for (const mode of ['delete', 'truncate', 'persist', 'memory', 'off', 'wal']) {
    await show(`journal_mode ${mode}`, () => {
        const result = db.pragma(`journal_mode = ${mode}`)
        db.exec('BEGIN; DROP TABLE IF EXISTS t; COMMIT')
        db.transaction(() => db.exec(fill))()
        return [result, db.pragma('integrity_check', { simple: true }), fs.readdirSync(directory).sort()]
    })
}

const insert = db.prepare('INSERT INTO t (a, b) VALUES (?, ?)')
await show('run', () => insert.run('run', Buffer.from('abc')))
await show('run again', () => insert.run(1))
const select = db.prepare('SELECT * FROM t WHERE id > @id')
await show('get', () => select.get({ id: 1 }))
await show('all', () => select.all({ id: 1 }))
await show('iterate', () => [...select.iterate({ id: 0 })])
await show('columns', () => select.columns())
await show('pluck', () => db.prepare('SELECT a FROM t').pluck().all())
await show('raw', () => db.prepare('SELECT * FROM t').raw().all())
await show('expand', () => db.prepare('SELECT 1 AS one, t.* FROM t').expand().get())
await show('bind', () => db.prepare('SELECT ?').bind(7).get())
await show('safeIntegers', () => db.prepare('SELECT b FROM t WHERE id = 3').safeIntegers().get())
await show('statement', () => [select.source, select.reader, select.readonly, select.busy, insert.reader])
await show('syntax', () => db.prepare('SELECT FROM'))

await show('rollback', () => {
    try {
        db.transaction(() => {
            insert.run('gone', 1)
            throw new Error('undo')
        }).immediate()
    } catch (error) {
        return [error.message, db.inTransaction, db.prepare('SELECT count(*) FROM t').pluck().get()]
    }
})
await show('nested', () => {
    const inner = db.transaction((value) => insert.run(value, 2).changes)
    return db.transaction(() => [inner('a'), inner('b'), db.inTransaction]).exclusive()
})
await show('function', () => {
    db.function('twice', { deterministic: true }, (value) => value * 2)
    return db.prepare('SELECT twice(21)').pluck().get()
})
await show('aggregate', () => {
    db.aggregate('longest', { start: '', step: (most, next) => (`${next}`.length > most.length ? `${next}` : most) })
    return db.prepare('SELECT longest(a) FROM t').pluck().get()
})
await show('table', () => {
    db.table('up_to', {
        columns: ['n'],
        parameters: ['last'],
        *rows(last) {
            for (let n = 1; n <= last; n++) yield [n]
        }
    })
    return db.prepare('SELECT sum(n) FROM up_to(10)').pluck().get()
})
await show('defaultSafeIntegers', () => db.defaultSafeIntegers().prepare('SELECT id FROM t LIMIT 1').pluck().get())
db.defaultSafeIntegers(false)
await show('unsafeMode', () => {
    db.unsafeMode()
    const ids = []
    for (const { id } of db.prepare('SELECT id FROM t').iterate()) ids.push(db.prepare('SELECT ?').pluck().get(id))
    return db.unsafeMode(false) && ids
})

await show('attach', () => {
    db.exec("ATTACH 'attached.db' AS attached; CREATE TABLE attached.t AS SELECT * FROM main.t")
    const both = db.prepare('SELECT (SELECT count(*) FROM main.t) = (SELECT count(*) FROM attached.t)').pluck().get()
    db.exec('DETACH attached')
    return both
})
await show('busy', () => {
    const other = new Database('main.db', { timeout: 0 })
    db.exec('BEGIN IMMEDIATE')
    try {
        other.exec('INSERT INTO t (a) VALUES (1)')
    } finally {
        db.exec('ROLLBACK')
        other.close()
    }
})
await show('wal_checkpoint', () => [db.pragma('wal_checkpoint(TRUNCATE)'), fs.statSync('main.db-wal').size])
await show('backup', async () => [await db.backup('backup.db'), new Database('backup.db').prepare('SELECT * FROM t').all()])
await show('backup in steps', () => db.backup('steps.db', { progress: ({ remainingPages }) => (remainingPages > 1 ? 1 : 100) }))
await show('backup fails', () => db.backup('none/backup.db'))
await show('serialize', () => {
    db.pragma('journal_mode = delete')
    const bytes = db.serialize()
    const copy = new Database(bytes)
    return [bytes.length, copy.memory, copy.prepare('SELECT * FROM t').all(), copy.serialize().equals(bytes)]
})
await show('vacuum', () => {
    db.exec("VACUUM; VACUUM INTO 'vacuumed.db'")
    return new Database('vacuumed.db', { readonly: true }).pragma('integrity_check')
})
await show('readonly write', () => new Database('main.db', { readonly: true }).exec('DELETE FROM t'))
await show('loadExtension', () => db.loadExtension(path.join(directory, 'absent')))
await show('temporary', () => db.exec('PRAGMA temp_store = FILE; CREATE TEMP TABLE many AS SELECT n FROM up_to(20000); DROP TABLE many'))
await show('compile_options', () => db.pragma('compile_options').length)
await show('close', () => [db.close().open, fs.readdirSync(directory).sort()])
await show('closed', () => db.prepare('SELECT 1'))
await show('log', () => log)
console.log('ok')
