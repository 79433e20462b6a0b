// Each line compiles, except those that are marked as errors.
import { DatabaseSync } from 'node:sqlite'
import Database from 'better-sqlite3'
import { ReplicaError, getLoadablePath, isConflict, lastError, load, open, replicaName, runTransaction, type Synchronous } from 'litestream-vfs-rs'

const better: Database.Database = open(Database, 's3://bucket/app', { time: new Date(), cacheSize: 1e6, verbose: console.log })
const sync: DatabaseSync = open(DatabaseSync, new URL('s3://bucket/app'), { attach: false, readBigInts: true })
const fromEnvironment: DatabaseSync = open(DatabaseSync, undefined)
const path: string = getLoadablePath()
const name: string = replicaName('s3://bucket/app', { verify: 'full' })
const reason: string | null = lastError(better) ?? lastError(sync)

const writer: DatabaseSync = open(DatabaseSync, 's3://bucket/app', { writeEnabled: true, compaction: '10s', l0Retention: '1m' })
const changes: number | bigint = runTransaction(writer, (db) => db.prepare('DELETE FROM t').run().changes, { tries: 3 })
function inTransaction<R>(run: (db: DatabaseSync) => Synchronous<R>): R {
    return runTransaction(writer, run)
}
const row: unknown = inTransaction((db) => db.prepare('SELECT * FROM t').get())
const conflict: boolean = isConflict(changes)

load(better, { defaultVfs: true })
load(sync)
try {
    open(Database, name)
} catch (error) {
    if (error instanceof ReplicaError) console.log(error.code.length, error.cause.message, path, reason, row, conflict, fromEnvironment)
}

// @ts-expect-error: an unknown option
open(Database, 's3://bucket/app', { cache_size: '1MB' })
// @ts-expect-error: an option of another host
open(Database, 's3://bucket/app', { readBigInts: true })
// @ts-expect-error: a connection is not a class
open(better, 's3://bucket/app')
// @ts-expect-error: a duration has a unit
replicaName('s3://bucket/app', { pollInterval: 1 })
// @ts-expect-error: an async function
runTransaction(writer, async (db) => db.exec('DELETE FROM t'))
// @ts-expect-error: a function that returns a promise
runTransaction(writer, () => Promise.resolve(1))
// @ts-expect-error: a function that can return a promise
runTransaction(writer, (db) => db.prepare('SELECT * FROM t').get() ?? Promise.resolve())
