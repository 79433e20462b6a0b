'use strict'
// Every SQLite package in every runtime reads a replica on an S3 server.

const { after, before, test } = require('node:test')
const { Primary } = require('./support/litestream')
const { RUNTIMES, run } = require('./support/runtimes')
const { startS3 } = require('./support/s3')

let server
let primary

before(async () => {
    server = await startS3()
    primary = new Primary(server.url('app'), server.environment)
    primary.db.exec("CREATE TABLE items (name TEXT); INSERT INTO items VALUES ('on S3')")
    await primary.start()
    primary.sync()
})

after(() => {
    primary?.stop()
    server.stop()
})

for (const runtime of RUNTIMES) {
    test(`${runtime.name} reads from S3, and says what is not there`, () =>
        run(runtime, 's3.mjs', { url: primary.url, other: server.url('other') }, server.environment))
}
