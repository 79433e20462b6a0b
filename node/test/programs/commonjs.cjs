// CommonJS gets the same functions as an ES module.

const assert = require('node:assert')
const litestream = require('litestream-vfs-rs')
const { version } = require('litestream-vfs-rs/package.json')

import('litestream-vfs-rs').then((module) => {
    const names = ['ReplicaError', 'getLoadablePath', 'isConflict', 'lastError', 'load', 'open', 'replicaName', 'runTransaction']
    assert.deepStrictEqual(Object.keys(litestream), names)
    for (const name of names) assert.strictEqual(module[name], litestream[name])
    assert.match(version, /^\d+\.\d+\.\d+$/)
    console.log('ok')
})
