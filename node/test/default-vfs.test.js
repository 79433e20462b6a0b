'use strict'
// With the extension as the default VFS, better-sqlite3 does for local databases exactly what it does without the extension.

const assert = require('node:assert')
const { test } = require('node:test')
const { RUNTIMES, run } = require('./support/runtimes')

for (const runtime of RUNTIMES.filter(({ host }) => host === 'better-sqlite3')) {
    test(`every method of ${runtime.name} behaves the same`, async () => {
        const lines = async (given) => (await run(runtime, 'surface.mjs', given)).split('\n')
        const [without, withDefault] = [await lines({}), await lines({ defaultVfs: true })]
        assert.ok(without.length > 60)
        for (const [index, line] of without.entries()) assert.strictEqual(withDefault[index], line)
    })
}
