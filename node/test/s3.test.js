'use strict'
// Every SQLite package in every runtime reads a replica on an S3 server.

const { after, before, test } = require('node:test')
const { RUNTIMES, run } = require('./support/runtimes')
const { startPrimaryOnS3 } = require('./support/s3')

let site

before(async () => {
    site = await startPrimaryOnS3("CREATE TABLE items (name TEXT); INSERT INTO items VALUES ('on S3')")
})

after(() => site?.stop())

for (const runtime of RUNTIMES) {
    test(`${runtime.name} reads from S3, and says what is not there`, () =>
        run(runtime, 's3.mjs', { url: site.primary.url, other: site.server.url('other') }, site.server.environment))
}
