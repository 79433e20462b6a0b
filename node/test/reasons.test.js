'use strict'
// Which errors get a reason.

const assert = require('node:assert')
const { test } = require('node:test')
const { ReplicaError, Reasons } = require('../lib/reasons')

let last
const reasons = new Reasons({ prepare: () => ({ get: () => ({ reason: last }) }) })

/** Returns the message for an error after which this is the last reason. */
function explained(message, reason, { writable = false, onlyReplicas = false } = {}) {
    last = reason
    const error = new Error(message)
    const result = reasons.explain(error, () => onlyReplicas, writable)
    assert.ok(result === error || (result instanceof ReplicaError && result.cause === error))
    return result.message
}

test('an error gets the reason if it is a new one, or if the error had it before', () => {
    last = 'first'
    reasons.look()
    assert.strictEqual(explained('disk I/O error', 'first'), 'disk I/O error')
    assert.strictEqual(explained('disk I/O error', 'first', { onlyReplicas: true }), 'disk I/O error: first')
    assert.strictEqual(explained('disk I/O error', 'first'), 'disk I/O error: first')
    assert.strictEqual(explained('unable to open database: /app.db', 'first'), 'unable to open database: /app.db')
    assert.strictEqual(explained('unable to open database: file:app.db', 'second'), 'unable to open database: file:app.db: second')
    assert.strictEqual(explained('disk I/O error', 'second'), 'disk I/O error')
})

test('an error of a connection that may write gets the reason', () => {
    for (const message of ['attempt to write a readonly database', 'database or disk is full']) {
        assert.strictEqual(explained(message, `not ${message.length}`), message)
        assert.strictEqual(explained(message, `why ${message.length}`, { writable: true }), `${message}: why ${message.length}`)
    }
})

test('all other errors are those of the host', () => {
    for (const message of ['database is locked', 'no such table: t']) assert.strictEqual(explained(message, `not ${message}`, { writable: true }), message)
    assert.strictEqual(explained('disk I/O error', null, { onlyReplicas: true }), 'disk I/O error')
    assert.strictEqual(reasons.explain('text', () => true), 'text')
})
