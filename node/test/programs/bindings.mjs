// Each native binding of better-sqlite3 contains its own SQLite.

import assert from 'node:assert'
import fs from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import { open } from 'litestream-vfs-rs'
import { Database, directory, given, one, thrown, url } from './host.mjs'

const count = given.states.at(-1).count
const require = createRequire(import.meta.url)
const host = path.resolve('node_modules', 'better-sqlite3')
// Version 12 is compiled, and version 13 contains the second file.
const files = [path.join('build', 'Release', 'better_sqlite3.node'), path.join('prebuilds', `${process.platform}-${process.arch}.node`)]
const original = files.map((file) => path.join(host, file)).find((file) => fs.existsSync(file))

function check(Class, nativeBinding) {
    const db = open(Class, url, { nativeBinding })
    assert.strictEqual(one(db, 'SELECT count(*) FROM items'), count)
    db.close()
    const failed = thrown(() => open(Class, `file://${directory}/missing`, { nativeBinding, openTimeout: '0' }))
    assert.ok(failed.message.includes(`${directory}/missing`), failed.message)
}

// A copy of the package without a binding of its own.
fs.cpSync(path.join(host, 'lib'), path.join(directory, 'host', 'lib'), { recursive: true })
fs.copyFileSync(path.join(host, 'package.json'), path.join(directory, 'host', 'package.json'))
const WithoutBinding = require(path.join(directory, 'host'))
assert.throws(() => new WithoutBinding(':memory:'))
check(WithoutBinding, original)

// Another binding than that of the first call.
const other = path.join(directory, 'other.node')
fs.copyFileSync(original, other)
check(Database)
check(Database, other)
check(Database, require(other))
check(Database)
console.log('ok')
