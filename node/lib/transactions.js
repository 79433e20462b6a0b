'use strict'
// Transactions that are run again after a conflict with another writer.

const { writableReplicas } = require('./databases')

const TRIES = 10
// The longest pause in milliseconds before a second run, and before any run.
const FIRST_PAUSE = 20
const LONGEST_PAUSE = 1000

/**
 * Whether another writer was first, so that the transaction can be run again from its beginning. Nothing was committed, except if the commit
 * was one to several attached databases: then some of them may have committed.
 */
function isConflict(error) {
    // All hosts have the text of SQLITE_BUSY and SQLITE_BUSY_SNAPSHOT; their codes differ.
    return error instanceof Error && error.message === 'database is locked'
}

/**
 * Runs `transaction(db)` between BEGIN IMMEDIATE and COMMIT, and returns its result. After a conflict it is run again, up to `tries` times
 * in all, unless a part of it may be committed.
 */
function runTransaction(db, transaction, { tries = TRIES } = {}) {
    for (let number = 1; ; number++) {
        const progress = { commits: false }
        try {
            return runOnce(db, transaction, progress)
        } catch (error) {
            if (number >= tries || !isConflict(error) || (progress.commits && writesSeveral(db))) throw error
        }
        pause(Math.random() * Math.min(FIRST_PAUSE * 2 ** (number - 1), LONGEST_PAUSE))
    }
}

// SQLite commits to one database after the other.
function writesSeveral(db) {
    return writableReplicas(db).filter((writable) => writable !== false).length > 1
}

function runOnce(db, transaction, progress) {
    db.exec('BEGIN IMMEDIATE')
    try {
        const result = transaction(db)
        if (typeof result?.then === 'function') throw new TypeError('the function of a transaction returned a promise: use no async function')
        progress.commits = true
        db.exec('COMMIT')
        return result
    } catch (error) {
        rollBack(db)
        throw error
    }
}

function rollBack(db) {
    try {
        db.exec('ROLLBACK')
    } catch {
        // After some errors, SQLite has already rolled back.
    }
}

function pause(milliseconds) {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds)
}

module.exports = { isConflict, runTransaction }
