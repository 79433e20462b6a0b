'use strict'
// SQLite reports a failed open or read only as "unable to open database file" or "disk I/O error". The extension keeps the reason.

/** A failed open or read of a replica. `message` ends with the reason, `cause` is the error of the host, `code` is its code. */
class ReplicaError extends Error {
    constructor(error, reason) {
        super(error.message.includes(reason) ? error.message : `${error.message}: ${reason}`, { cause: error })
        this.code = error.code
    }
}
ReplicaError.prototype.name = 'ReplicaError'

// SQLite's texts for the result codes with which the extension reports its own errors: SQLITE_CANTOPEN, IOERR, CORRUPT, INTERNAL. Not all
// hosts give the code.
const FROM_STORAGE = /^(unable to open database|disk I\/O error|database disk image is malformed|unknown error)/
// Of a connection that may write, the extension reports SQLITE_READONLY as well.
const FROM_WRITING = /^attempt to write a readonly database/

/** Returns the last reason on this thread, or null. `db` is any connection of the process. */
function lastError(db) {
    return db.prepare('SELECT litestream_last_error() AS reason').get().reason
}

/** Returns the error to throw for `error`: with the reason, if the extension caused it. */
function explain(error, db, writable = false) {
    if (!(error instanceof Error) || error instanceof ReplicaError) return error
    if (!FROM_STORAGE.test(error.message) && !(writable && FROM_WRITING.test(error.message))) return error
    const reason = lastError(db)
    return reason === null ? error : new ReplicaError(error, reason)
}

const wrapped = new WeakSet()

// Makes the methods of an object throw what `explained` returns for an error, and passes their results to `visit`. The object keeps its class.
function wrap(object, methods, explained, visit = () => {}) {
    if (wrapped.has(object)) return
    wrapped.add(object)
    for (const method of methods) {
        const original = object[method]
        if (typeof original !== 'function') continue
        const replacement = function (...values) {
            try {
                const result = original.apply(this, values)
                visit(method, result)
                return result
            } catch (error) {
                throw explained(error)
            }
        }
        Object.defineProperty(object, method, { value: replacement, configurable: true, writable: true })
    }
}

function wrapStatement(statement, explained) {
    wrap(statement, ['all', 'get', 'iterate', 'run', 'values'], explained, (method, result) => {
        if (method === 'iterate') wrap(result, ['next'], explained)
    })
}

/** Makes all statements of a connection throw errors with reasons. `loader` is another connection of this thread. */
function addReasons(db, loader, writable) {
    const explained = (error) => explain(error, loader, writable)
    wrap(db, ['exec', 'pragma', 'prepare', 'query', 'run', 'serialize'], explained, (method, result) => {
        if (method === 'prepare' || method === 'query') wrapStatement(result, explained)
    })
    return db
}

module.exports = { ReplicaError, addReasons, explain, lastError }
