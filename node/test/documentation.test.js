'use strict'
// The examples of the documentation run, with a replica at s3://bucket/app.

const assert = require('node:assert')
const fs = require('node:fs')
const path = require('node:path')
const { after, before, test } = require('node:test')
const { ROOT } = require('./support/environment')
const { BETTER_SQLITE3_13, appWith, run } = require('./support/runtimes')
const { startPrimaryOnS3 } = require('./support/s3')

const IMPORTS = `
import Database from 'better-sqlite3'
import { open, load, replicaName } from 'litestream-vfs-rs'
`
// What the examples with these names expect.
const BEFORE = {
    db: "const db = open(Database, 's3://bucket/app')",
    local: `
load(new Database(':memory:'), { defaultVfs: true })
const local = new Database('local.db')
local.exec('CREATE TABLE IF NOT EXISTS copies (id, item)')`
}
const AFTER = `
import assert from 'node:assert'
if (typeof local !== 'undefined') assert.strictEqual(local.prepare('SELECT item FROM copies').pluck().get(), 'tea')
if (typeof visits !== 'undefined') assert.strictEqual(visits, 1)
if (typeof orm !== 'undefined') {
    assert.deepStrictEqual(orm.all('SELECT item FROM orders'), [{ item: 'tea' }])
    assert.deepStrictEqual(await kysely.selectFrom('orders').selectAll().execute(), [{ id: 1, item: 'tea' }])
}
if (typeof db === 'function') {
    assert.deepStrictEqual(await db('orders').select(), [{ id: 1, item: 'tea' }])
    await db.destroy()
} else if (typeof db !== 'undefined') assert.strictEqual(db.prepare('SELECT count(*) FROM orders').pluck().get(), 1)
console.log('ok')
`

let site

before(async () => {
    site = await startPrimaryOnS3("CREATE TABLE orders (id INTEGER, item TEXT); INSERT INTO orders VALUES (1, 'tea')")
})

after(() => site?.stop())

for (const file of ['docs/node.md', 'node/README.md']) {
    const blocks = [...fs.readFileSync(path.join(ROOT, file), 'utf8').matchAll(/^```js\n(.*?)^```$/gms)].map(([, code]) => code)
    assert.ok(blocks.length > 0)
    for (const [index, block] of blocks.entries()) {
        test(`${file}, example ${index + 1}`, () => run(BETTER_SQLITE3_13, write(block), {}, site.server.reader))
    }
}

/** Writes a program with the example. Returns its name. */
function write(block) {
    const name = `example-${process.hrtime.bigint()}.mjs`
    const imports = block.includes('import ') ? '' : IMPORTS
    const used = Object.entries(BEFORE).filter(([name]) => new RegExp(`^${name}\\.`, 'm').test(block) && !block.includes(`const ${name} =`))
    // The replica has no state of an hour ago.
    const example = block.replaceAll('1 hour ago', 'now').replaceAll('2026-01-31T12:00:00Z', new Date().toISOString())
    const code = [imports, ...used.map(([, code]) => code), example, AFTER].join('\n')
    fs.writeFileSync(path.join(appWith(BETTER_SQLITE3_13.betterSqlite3), name), code)
    return name
}
