'use strict'
// Every SQLite package in every runtime writes a replica on an S3 server, which the real Litestream restores.

const assert = require('node:assert')
const { after, before, test } = require('node:test')
const { restore } = require('./support/litestream')
const { RUNTIMES, run } = require('./support/runtimes')
const { startS3 } = require('./support/s3')

let server

before(async () => {
    server = await startS3()
})

after(() => server?.stop())

const write = (runtime, name, increments) => run(runtime, 'write.mjs', { url: server.url(name), increments }, server.environment)

for (const [index, runtime] of RUNTIMES.entries()) {
    test(`${runtime.name} writes, and runs transactions again`, async () => {
        await write(runtime, `alone-${index}`, 2)
        assert.deepStrictEqual(restore(server, `alone-${index}`).prepare('SELECT number FROM counter').all(), [{ number: 2 }])
    })
}

test('two runtimes at once lose no increment', async () => {
    const two = ["better-sqlite3 12 on the system's Node.js", 'node:sqlite on Node.js 26']
    const ended = RUNTIMES.filter(({ name }) => two.includes(name)).map((runtime) => write(runtime, 'together', 10))
    assert.strictEqual(ended.length, 2)
    await Promise.all(ended)
    assert.deepStrictEqual(restore(server, 'together').prepare('SELECT number FROM counter').all(), [{ number: 20 }])
})
