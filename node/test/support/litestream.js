'use strict'
// The real Litestream: a primary that replicates a database.

const { execFileSync, spawn } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')
const { setTimeout: sleep } = require('node:timers/promises')
const { ENVIRONMENT, cleanEnvironment, program, temporaryDirectory } = require('./environment')
const Database = require(path.join(ENVIRONMENT, 'node', 'node_modules', 'better-sqlite3'))

const LIMIT = 60_000

/** Waits until `condition` returns something true, and returns it. */
async function until(what, condition) {
    const end = Date.now() + LIMIT
    for (;;) {
        const value = await condition()
        if (value) return value
        if (Date.now() > end) throw new Error(`waited in vain: ${what}`)
        await sleep(20)
    }
}

/** A database with a running `litestream replicate`, which replicates it on request only. */
class Primary {
    #child
    #directory = temporaryDirectory()
    #environment

    constructor(url, environment = {}) {
        this.url = url ?? `file://${path.join(this.#directory, 'replica')}`
        this.#environment = cleanEnvironment(environment)
        this.db = new Database(path.join(this.#directory, 'app.db'))
        this.db.pragma('journal_mode = WAL')
    }

    /** Starts it. The database must not be empty. */
    async start() {
        const socket = path.join(this.#directory, 'socket')
        const config = path.join(this.#directory, 'litestream.yml')
        const replica = { url: this.url, 'sync-interval': '1h' }
        const db = { path: this.db.name, 'monitor-interval': '1h', replica }
        // YAML contains JSON.
        const levels = [{ interval: '1h' }]
        fs.writeFileSync(config, JSON.stringify({ socket: { enabled: true, path: socket }, levels, dbs: [db] }))
        const log = fs.openSync(path.join(this.#directory, 'litestream.log'), 'w')
        const options = { env: this.#environment, stdio: ['ignore', log, log] }
        this.#child = spawn(program('litestream'), ['replicate', '-config', config], options)
        fs.closeSync(log)
        await until('litestream opens its control socket', () => {
            if (this.#child.exitCode !== null) throw new Error(`litestream ended: ${this.#log()}`)
            return fs.existsSync(socket)
        })
        return this
    }

    /** Replicates all committed transactions, and returns the TXID of the replica in hexadecimal digits. */
    sync() {
        const socket = path.join(this.#directory, 'socket')
        const sync = ['sync', '-wait', '-timeout', '50', '-socket', socket, this.db.name]
        const printed = execFileSync(program('litestream'), sync, { env: this.#environment, encoding: 'utf8', timeout: LIMIT })
        const txid = /^replica_txid: (\d+)$/m.exec(printed)?.[1]
        if (!txid) throw new Error(`no sync: ${printed}\n${this.#log()}`)
        return BigInt(txid).toString(16).padStart(16, '0')
    }

    stop() {
        this.#child.kill('SIGKILL')
        this.db.close()
    }

    #log() {
        return fs.readFileSync(path.join(this.#directory, 'litestream.log'), 'utf8')
    }
}

/** Restores a replica on a server, and returns the database. */
function restore(server, name) {
    const file = path.join(temporaryDirectory(), 'restored.db')
    execFileSync(program('litestream'), ['restore', '-o', file, server.url(name)], { env: cleanEnvironment(server.environment), timeout: LIMIT })
    return new Database(file)
}

module.exports = { LIMIT, Primary, restore, until }
