// Worker threads open replicas, and get their own errors.

import assert from 'node:assert'
import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads'
import { open } from 'litestream-vfs-rs'
import { Database, directory, given, one, thrown, url } from './host.mjs'

function work(number) {
    const failed = thrown(() => open(Database, `file://${directory}/missing-${number}`, { openTimeout: '0' }))
    assert.ok(failed.message.includes(`missing-${number}`), failed.message)
    const db = open(Database, url)
    const count = one(db, 'SELECT count(*) FROM items')
    db.close()
    return count
}

if (isMainThread) {
    const expected = given.states.at(-1).count
    const results = [1, 2, 3].map((number) => {
        const worker = new Worker(new URL(import.meta.url), { argv: process.argv.slice(2), workerData: number })
        return new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject))
    })
    assert.strictEqual(work(0), expected)
    assert.deepStrictEqual(await Promise.all(results), [expected, expected, expected])
    console.log('ok')
} else {
    parentPort.postMessage(work(workerData))
}
