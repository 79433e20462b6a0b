'use strict'
// Every SQLite package in every runtime reads replicas that the real Litestream writes.

const { after, before, describe, test } = require('node:test')
const { Primary, until } = require('./support/litestream')
const { DENO, RUNTIMES, run, start } = require('./support/runtimes')

const primary = new Primary()
const states = []
let items

const ITEMS = [
    [1, 'plain', 1.5, Buffer.from('00ff10', 'hex'), null],
    [2, 'ünïcødé 漢字 🚀', -1e300, Buffer.alloc(0), -9007199254740991],
    [3, '', 0.1, Buffer.alloc(5000, 7), 9007199254740991]
]

function sync() {
    const txid = primary.sync()
    states.push({ txid, count: primary.db.prepare('SELECT count(*) FROM items').pluck().get() })
}

before(async () => {
    primary.db.exec(`
        CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT, price REAL, data BLOB, number);
        CREATE TABLE bulk (data BLOB);
        WITH RECURSIVE numbers (n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM numbers LIMIT 1000)
        INSERT INTO bulk SELECT randomblob(4000) FROM numbers`)
    const insert = primary.db.prepare('INSERT INTO items VALUES (?, ?, ?, ?, ?)')
    await primary.start()
    for (const item of ITEMS) {
        insert.run(item)
        sync()
    }
    items = ITEMS.map((item) => item.map((value) => (Buffer.isBuffer(value) ? value.toString('hex') : value)))
})

after(() => primary.stop())

for (const runtime of RUNTIMES) {
    describe(runtime.name, () => {
        const given = () => ({ url: primary.url, states, items })
        const programs = {
            'read.mjs': 'reads the newest state and past ones',
            'options.mjs': 'passes settings and options on',
            'errors.mjs': 'says why an open or a read failed',
            'commits.mjs': 'says why a commit failed, and repeats none to several databases',
            'local.mjs': 'leaves local databases as they are, and opens names',
            'workers.mjs': 'works in worker threads',
            'realms.mjs': 'works in a context with classes of its own, as in Jest',
            'commonjs.cjs': 'is the same module for require and import'
        }
        for (const [program, what] of Object.entries(programs)) {
            test(what, () => run(runtime, program, given()))
        }
        if (runtime.betterSqlite3) test('opens with the native binding that the options name', () => run(runtime, 'bindings.mjs', given()))
        test('reads the URL from the environment', () =>
            run(runtime, 'environment.mjs', { ...given(), url: undefined }, { LITESTREAM_REPLICA_URL: primary.url }))
        test('follows the primary', async () => {
            const { ended, printed } = start(runtime, 'follow.mjs', given())
            await Promise.race([ended, until('the program opens the replica', () => printed().includes('opened'))])
            const id = primary.db.prepare('INSERT INTO items (name) VALUES (?)').run('new').lastInsertRowid
            sync()
            items.push([Number(id), 'new', null, null, null])
            await ended
        })
    })
}

test('Deno needs three permissions', () => {
    const permissions = ['--no-prompt', '--allow-ffi', '--allow-read', '--allow-env']
    const command = [...DENO.command.filter((word) => word !== '--allow-all'), ...permissions]
    return run({ ...DENO, command }, 'permissions.mjs', { url: primary.url, states })
})
