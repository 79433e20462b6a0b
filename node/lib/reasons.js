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

/** Returns the last reason on this thread, or null. `db` is any connection of the process. */
function lastError(db) {
    return db.prepare('SELECT litestream_last_error() AS reason').get().reason
}

/** Returns the error to throw for `error`: with the reason, if the extension caused it. */
function explain(error, db) {
    if (!(error instanceof Error) || error instanceof ReplicaError || !FROM_STORAGE.test(error.message)) return error
    const reason = lastError(db)
    return reason === null ? error : new ReplicaError(error, reason)
}

const wrapped = new WeakSet()

// Makes the methods of an object throw errors with reasons, and passes their results to `visit`. The object keeps its class.
function wrap(object, methods, loader, visit = () => {}) {
    if (wrapped.has(object)) return
    wrapped.add(object)
    for (const method of methods) {
        const original = object[method]
        if (typeof original !== 'function') continue
        const explained = function (...values) {
            try {
                const result = original.apply(this, values)
                visit(method, result)
                return result
            } catch (error) {
                throw explain(error, loader)
            }
        }
        Object.defineProperty(object, method, { value: explained, configurable: true, writable: true })
    }
}

function wrapStatement(statement, loader) {
    wrap(statement, ['all', 'get', 'iterate', 'run', 'values'], loader, (method, result) => {
        if (method === 'iterate') wrap(result, ['next'], loader)
    })
}

/** Makes all reads of a connection throw errors with reasons. `loader` is another connection of this thread. */
function addReasons(db, loader) {
    wrap(db, ['exec', 'pragma', 'prepare', 'query', 'run', 'serialize'], loader, (method, result) => {
        if (method === 'prepare' || method === 'query') wrapStatement(result, loader)
    })
    return db
}

module.exports = { ReplicaError, addReasons, explain, lastError }
