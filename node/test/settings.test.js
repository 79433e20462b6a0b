'use strict'
// The names that open replicas.

const assert = require('node:assert')
const fs = require('node:fs')
const path = require('node:path')
const { test } = require('node:test')
const { ROOT } = require('./support/environment')
const { OPTIONS, pathOf, replicaName } = require('../lib/settings')

test('the options are the settings of the documentation', () => {
    const read = (file) => fs.readFileSync(path.join(ROOT, file), 'utf8')
    const both = read('docs/configuration.md') + read('docs/writing.md')
    const documented = [...both.matchAll(/^\| `([a-z0-9_]+)` \| (?:`LITESTREAM_|–)/gm)].map(([, name]) => name)
    assert.ok(documented.length > 5)
    assert.deepStrictEqual([...OPTIONS.values(), 'replica_url'].sort(), documented.sort())
    const types = read('node/index.d.ts').split(/^}$/m)[0]
    const typed = [...types.matchAll(/^ {4}([a-zA-Z0-9]+)\?: /gm)].map(([, name]) => name)
    assert.deepStrictEqual(typed.sort(), [...OPTIONS.keys()].sort())
    const [, table] = /^\| option \| \|\n(.*?)^\| all others/ms.exec(read('docs/node.md'))
    const described = table.split('\n').flatMap((row) => [...row.split(' | ')[0].matchAll(/`(\w+)`/g)].map(([, name]) => name))
    assert.deepStrictEqual(described.sort(), [...OPTIONS.keys()].sort())
})

test('values are percent-encoded', () => {
    const url = 's3://bucket/a b?endpoint=localhost:9000&region=eu#%ü'
    const name = replicaName(url, { time: new Date(0), cacheSize: 1e6, attach: false, timeTravel: true, txid: undefined, verify: null })
    const [file, query] = name.split('?')
    assert.strictEqual(file, 'file:replica.db')
    assert.match(query, /^[\w%&=.-]+$/)
    assert.deepStrictEqual([...new URLSearchParams(query)], [
        ['vfs', 'litestream'],
        ['replica_url', url],
        ['time', '1970-01-01T00:00:00.000Z'],
        ['cache_size', '1000000'],
        ['attach', 'off'],
        ['time_travel', 'on']
    ])
    assert.strictEqual(replicaName(), 'file:replica.db?vfs=litestream')
    assert.strictEqual(replicaName(new URL('s3://bucket/app')), 'file:replica.db?vfs=litestream&replica_url=s3%3A%2F%2Fbucket%2Fapp')
})

test('names can be put into SQL literals', () => {
    const url = "s3://bucket/o'neil' AS x; DROP TABLE y; --"
    const names = [replicaName(url, { cacheDir: "/o'neil" }), pathOf(url, [['cache_dir', "/o'neil"]])]
    for (const name of names) {
        assert.ok(!name.includes("'"), name)
        assert.ok(decodeURIComponent(name).includes(url) && decodeURIComponent(name).endsWith("cache_dir=/o'neil"), name)
    }
})

test('wrong settings are errors that say how to write them', () => {
    assert.throws(() => replicaName('s3://b/a', { poll_interval: '1s' }), /^TypeError: the option poll_interval is written pollInterval$/)
    assert.throws(() => replicaName('s3://b/a', { readonly: true }), /^TypeError: readonly is not a setting of a replica$/)
    assert.throws(() => replicaName('s3://b/a', { pollInterval: {} }), /^TypeError: the option pollInterval must be a string, /)
    for (const url of ['', 7, null]) assert.throws(() => replicaName(url), /^TypeError: the URL of a replica must be a string such as/)
})
