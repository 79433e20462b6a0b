'use strict'
// SQLite reports a failed open or read only as "unable to open database file" or "disk I/O error". The extension keeps the reason.

const { firstValue, writableReplicas } = require('./databases')
const { isError } = require('./errors')

/** A failed open, read or write of a replica. `message` ends with the reason, `cause` is the error of the host, `code` is its code. */
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
// Of a connection that may write, the extension reports SQLITE_READONLY and SQLITE_FULL as well.
const FROM_WRITING = /^(attempt to write a readonly database|database or disk is full)/
// Files that are not databases of the connection cause these as well: the one that ATTACH names, and temporary ones.
const FROM_OTHER_FILES = /^(unable to open database: |database or disk is full)/

// The methods of connections that return something which runs statements, and others that run SQL.
const STATEMENTS = ['prepare', 'query', 'createTagStore']
const OTHERS = ['applyChangeset', 'exec', 'explain', 'pragma', 'run', 'serialize']

const prepareReason = (db) => db.prepare('SELECT litestream_last_error()')

/** Returns the last reason on this thread, or null. `db` is any connection of the process. */
function lastError(db) {
    return firstValue(prepareReason(db))
}

/** The reasons on this thread. A reason stays the last one until there is another, so it need not be that of an error. */
class Reasons {
    #statement
    #seen = null
    // The messages of the errors that had the seen reason.
    #explained = new Set()

    /** `loader` is a connection of this thread on which no other SQL runs. */
    constructor(loader) {
        this.#statement = prepareReason(loader)
        this.look()
    }

    /** Returns whether there is another reason than at the last look. */
    look() {
        const reason = firstValue(this.#statement)
        if (reason === this.#seen) return false
        this.#seen = reason
        this.#explained.clear()
        return true
    }

    /**
     * Returns the error to throw for `error`: with the reason, if the extension caused it. If the reason is not a new one,
     * `onlyReplicas(error)` decides, except for errors that had it before.
     */
    explain(error, onlyReplicas, writable = false) {
        if (!isError(error) || error instanceof ReplicaError) return error
        if (!FROM_STORAGE.test(error.message) && !(writable && FROM_WRITING.test(error.message))) return error
        const isNew = this.look()
        if (this.#seen === null || !(isNew || this.#explained.has(error.message) || onlyReplicas(error))) return error
        this.#explained.add(error.message)
        return new ReplicaError(error, this.#seen)
    }

    /** Makes all statements and transactions of a connection throw errors with reasons. */
    addTo(db, writable) {
        const prepare = db.prepare.bind(db)
        const onlyReplicas = ({ message }) => !FROM_OTHER_FILES.test(message) && isOnlyReplicas({ prepare })
        const explained = (error) => this.explain(error, onlyReplicas, writable)
        // Single runs of statements are too short for a look before them.
        const look = () => this.look()
        wrapTransactions(db, explained, look)
        const visit = (method, result) => {
            if (STATEMENTS.includes(method)) wrapStatement(result, explained)
        }
        wrap(db, [...STATEMENTS, ...OTHERS], explained, visit, look)
        return db
    }
}

function isOnlyReplicas(db) {
    try {
        return !writableReplicas(db).includes(undefined)
    } catch {
        // better-sqlite3 refuses other statements while an iterator is open.
        return false
    }
}

const wrapped = new WeakSet()

// Makes the methods of an object throw what `explained` returns for an error, and passes their results to `visit`. The object keeps its class.
function wrap(object, methods, explained, visit = () => {}, before = () => {}) {
    if (wrapped.has(object)) return
    wrapped.add(object)
    for (const method of methods) {
        const original = object[method]
        if (typeof original !== 'function') continue
        replace(object, method, function (...values) {
            before()
            try {
                const result = original.apply(this, values)
                visit(method, result)
                return result
            } catch (error) {
                throw explained(error)
            }
        })
    }
}

function replace(object, method, value) {
    Object.defineProperty(object, method, { value, configurable: true, writable: true })
}

function wrapStatement(statement, explained) {
    wrap(statement, ['all', 'get', 'iterate', 'run', 'values'], explained, (method, result) => {
        if (method === 'iterate') wrap(result, ['next'], explained)
    })
}

// better-sqlite3 begins and commits the transactions of `db.transaction()` by statements of its own.
function wrapTransactions(db, explained, before) {
    const original = db.transaction
    if (typeof original !== 'function') return
    replace(db, 'transaction', function (run, ...others) {
        if (typeof run !== 'function') return original.call(this, run, ...others)
        // What the function throws can be an error of another database.
        const thrown = new WeakSet()
        const noticed = function (...values) {
            try {
                return run.apply(this, values)
            } catch (error) {
                if (isError(error)) thrown.add(error)
                throw error
            }
        }
        const transaction = original.call(this, noticed, ...others)
        const explaining = (variant) => function (...values) {
            before()
            try {
                return variant.apply(this, values)
            } catch (error) {
                throw thrown.has(error) ? error : explained(error)
            }
        }
        const names = ['default', 'deferred', 'immediate', 'exclusive']
        const variants = names.map((name) => [name, { value: explaining(transaction[name]) }])
        const database = Object.getOwnPropertyDescriptor(transaction, 'database')
        const properties = { ...Object.fromEntries(variants), database }
        for (const [, { value }] of variants) Object.defineProperties(value, properties)
        return properties.default.value
    })
}

module.exports = { ReplicaError, Reasons, lastError }
