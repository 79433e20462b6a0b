'use strict'
const { isError } = require('./lib/errors')
const { hostOf, loadInto } = require('./lib/hosts')
const { getLoadablePath } = require('./lib/library')
const { ReplicaError, Reasons, lastError } = require('./lib/reasons')
const { isWritable, replicaName, split } = require('./lib/settings')
const { isConflict, runTransaction } = require('./lib/transactions')

// The reasons of each host by its native binding, which contains SQLite. Their connections have loaded the extension on this thread.
const loaded = new WeakMap()

function reasonsOf(Database, host, options) {
    if (!loaded.has(Database)) loaded.set(Database, new Map())
    const byBinding = loaded.get(Database)
    const loading = host.loading(options)
    let reasons = byBinding.get(loading.nativeBinding)
    if (!reasons) {
        const loader = new Database(':memory:', loading)
        loadInto(loader, getLoadablePath(), host.defaultVfs)
        reasons = new Reasons(loader)
        byBinding.set(loading.nativeBinding, reasons)
    }
    return reasons
}

// Deno's message contains the name, whose URL can contain a password.
function withoutName(error, name) {
    if (isError(error) && error.message.includes(name)) {
        for (const property of ['message', 'stack']) error[property] = error[property].replaceAll(name, 'replica.db')
    }
    return error
}

/** Loads the extension through a connection, for all connections of the process that are opened later. */
function load(db, { defaultVfs = false } = {}) {
    hostOf(db)
    loadInto(db, getLoadablePath(), defaultVfs)
}

/** Opens a replica. Returns a `Database`, which is read-only without `writeEnabled`. */
function open(Database, url, options = {}) {
    const host = hostOf(Database?.prototype)
    const [parameters, hostOptions] = split(options)
    const writable = isWritable(parameters)
    const name = host.name(url, parameters)
    const reasons = reasonsOf(Database, host, hostOptions)
    let db
    try {
        db = new Database(name, { ...hostOptions, ...host.mode(writable) })
    } catch (error) {
        throw reasons.explain(withoutName(error, name), () => true)
    }
    return reasons.addTo(db, writable)
}

module.exports = { ReplicaError, getLoadablePath, isConflict, lastError, load, open, replicaName, runTransaction }
