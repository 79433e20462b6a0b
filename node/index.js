'use strict'
const { hostOf, loadInto } = require('./lib/hosts')
const { getLoadablePath } = require('./lib/library')
const { ReplicaError, addReasons, explain, lastError } = require('./lib/reasons')
const { isWritable, replicaName, split } = require('./lib/settings')
const { isConflict, runTransaction } = require('./lib/transactions')

// A connection of each host, which loaded the extension on this thread.
const loaders = new WeakMap()

function loaderOf(Database, host) {
    let loader = loaders.get(Database)
    if (!loader) {
        loader = new Database(':memory:', host.loading)
        loadInto(loader, getLoadablePath(), host.defaultVfs)
        loaders.set(Database, loader)
    }
    return loader
}

// Deno's message contains the name, whose URL can contain a password.
function withoutName(error, name) {
    if (error instanceof Error && error.message.includes(name)) {
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
    const loader = loaderOf(Database, host)
    try {
        return addReasons(new Database(name, { ...hostOptions, ...host.mode(writable) }), loader, writable)
    } catch (error) {
        throw explain(withoutName(error, name), loader)
    }
}

module.exports = { ReplicaError, getLoadablePath, isConflict, lastError, load, open, replicaName, runTransaction }
