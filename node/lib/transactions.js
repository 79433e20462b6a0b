'use strict'
// Transactions that are run again after a conflict with another writer.

const { types } = require('node:util')
const { writableReplicas } = require('./databases')
const { isError } = require('./errors')

const TRIES = 10
// The longest pause in milliseconds before a second run, and before any run.
const FIRST_PAUSE = 20
const LONGEST_PAUSE = 1000

// What runs after it has returned, also if it is bound or of another realm.
const RUNS_LATER = /^\[object (AsyncFunction|AsyncGeneratorFunction|GeneratorFunction)\]$/

// Is gone if the function has ended the transaction.
const SAVEPOINT = 'litestream_run'

/**
 * Whether another writer was first, so that the transaction can be run again from its beginning. Nothing was committed, except if the commit
 * was one to several attached databases: then some of them may have committed.
 */
function isConflict(error) {
    // All hosts have the text of SQLITE_BUSY and SQLITE_BUSY_SNAPSHOT; their codes differ.
    return isError(error) && error.message === 'database is locked'
}

/**
 * Runs `transaction(db)` between BEGIN IMMEDIATE and COMMIT, and returns its result. After a conflict it is run again, up to `tries` times
 * in all, unless a part of it may be committed.
 */
function runTransaction(db, transaction, { tries = TRIES } = {}) {
    if (RUNS_LATER.test(Object.prototype.toString.call(transaction))) throw unfinished('is async or a generator')
    for (let number = 1; ; number++) {
        const progress = { commits: false, ended: false }
        try {
            return runOnce(db, transaction, progress)
        } catch (error) {
            // Whatever has ended the transaction may have committed it.
            if (number >= tries || !isConflict(error) || progress.ended || (progress.commits && writesSeveral(db))) throw error
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
        db.exec(`SAVEPOINT ${SAVEPOINT}`)
        const result = callFunction(db, transaction, progress)
        release(db, progress)
        progress.commits = true
        db.exec('COMMIT')
        return result
    } catch (error) {
        // After some errors, SQLite has already rolled back.
        succeeds(db, 'ROLLBACK')
        throw error
    }
}

function callFunction(db, transaction, progress) {
    try {
        const result = transaction(db)
        if (typeof result?.then === 'function') {
            handleRejection(result)
            throw unfinished('returned a promise')
        }
        return result
    } catch (error) {
        progress.ended = !succeeds(db, `ROLLBACK TO ${SAVEPOINT}`)
        throw error
    }
}

// An unhandled rejection would end the process. Thenables that are no promises can be queries, which `then` would run.
function handleRejection(result) {
    if (types.isPromise(result)) Promise.prototype.then.call(result, undefined, () => {})
}

const unfinished = (what) => new TypeError(`the function of a transaction ${what}: it must do all its work before it returns`)

function release(db, progress) {
    try {
        db.exec(`RELEASE ${SAVEPOINT}`)
    } catch (error) {
        if (!error.message.includes('no such savepoint')) throw error
        progress.ended = true
        throw new Error('the function of a transaction must not commit or roll back: what it has committed stays', { cause: error })
    }
}

function succeeds(db, statement) {
    try {
        db.exec(statement)
        return true
    } catch {
        return false
    }
}

function pause(milliseconds) {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds)
}

module.exports = { isConflict, runTransaction }
