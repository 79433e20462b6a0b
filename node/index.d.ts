/** Settings of a replica: those of docs/configuration.md and docs/writing.md, in camel case. Without a setting, its environment variable applies. */
export interface ReplicaSettings {
    /** The state to read: RFC 3339, `1 hour ago`, or a Date. */
    time?: string | Date
    /** The transaction to read, 16 hexadecimal digits. */
    txid?: string
    /** Whether SQL can move the connection to another state. Default true. */
    timeTravel?: boolean
    /** The time between two polls, for example `500ms`. Default `1s`. */
    pollInterval?: string
    /** The limit of the page cache in memory, in bytes or with a unit. Default `64MB`. */
    cacheSize?: string | number
    /** The limit of the temporary file for pages, or of the whole `cacheDir`. Default `1GB`. */
    diskCacheSize?: string | number
    /** A directory for pages, which processes share and which outlives them. Default none. */
    cacheDir?: string
    /** Whether the whole newest state is fetched into `cacheDir` in the background. Default false. */
    hydrationEnabled?: boolean
    /** The directory for that, if `cacheDir` is not set. */
    hydrationPath?: string
    /** A read fails if the replica has not confirmed its state for this long. Default none. */
    maxStaleness?: string
    /** The longest time that opening waits. Default `10s`. */
    openTimeout?: string
    /** The longest time that a read waits without progress. Default `30s`. */
    readTimeout?: string
    /** `full` checks every file completely before its first page is used. */
    verify?: 'off' | 'full'
    /** Whether SQL can attach replicas. Default true. */
    attach?: boolean
    /** Whether the replica is opened for writing. Default false. */
    writeEnabled?: boolean
    /** Whether a replica that Litestream has written last is written. Default false. */
    writeTakeover?: boolean
    /** How long after its commit a transaction is uploaded from the local journal. Default `0`: commits are uploaded at once. */
    syncInterval?: string
    /** The directory of the journal. Default none. */
    bufferPath?: string
    /** Whether the files of the replica are compacted, or the interval of level 1. Default true. */
    compaction?: boolean | string
    /** How long files of single transactions are kept after they were compacted. Default `5m`. */
    l0Retention?: string
    /** The time between two snapshots. Default `24h`. */
    snapshotInterval?: string
    /** How long every past state can be restored. Default `24h`. */
    snapshotRetention?: string
}

/** `Database` of better-sqlite3 or bun:sqlite, or `DatabaseSync` of node:sqlite. */
export type DatabaseClass = new (...args: any[]) => { close(): unknown }

/** The options of the second argument of a host's constructor. */
export type HostOptions<D extends DatabaseClass> = Extract<NonNullable<ConstructorParameters<D>[1]>, object>

/**
 * Opens a replica, and returns a database, which is read-only without `writeEnabled`. Loads the extension when it is first called.
 * @param Database `Database` of better-sqlite3 or bun:sqlite, or `DatabaseSync` of node:sqlite.
 * @param url The URL of the replica. If undefined, `LITESTREAM_REPLICA_URL`.
 * @param options Settings of the replica, and options of the host's constructor.
 * @throws {ReplicaError} if the replica cannot be opened.
 */
export function open<D extends DatabaseClass>(
    Database: D,
    url: string | URL | undefined,
    options?: ReplicaSettings & HostOptions<D>
): InstanceType<D>

/** A connection that can load extensions. */
export interface ExtensionLoader {
    loadExtension(path: string, entryPoint?: string): unknown
}

/**
 * Loads the extension, for all connections of the process that are opened later.
 * @param options `defaultVfs` makes names of replicas work wherever the host opens a name.
 */
export function load(db: ExtensionLoader, options?: { defaultVfs?: boolean }): void

/** Returns the path of the library, for any program that loads SQLite extensions. */
export function getLoadablePath(): string

/** Returns a name that opens the replica, for programs that open databases themselves. */
export function replicaName(url: string | URL | undefined, settings?: ReplicaSettings): string

/** A connection that runs SQL. */
export interface StatementSource {
    prepare(sql: string): { get(): unknown }
}

/** Returns why an open, a read or a poll failed last on this thread, or null. */
export function lastError(db: StatementSource): string | null

/** A connection that runs SQL, with and without results. */
export interface Executor {
    exec(sql: string): unknown
    prepare(sql: string): { all(): unknown[]; get(): unknown }
}

/** The result of a function that returns no promise. */
export type Synchronous<R> = R extends PromiseLike<unknown> ? never : R

/**
 * Runs `transaction(db)` between BEGIN IMMEDIATE and COMMIT, and returns its result. After a conflict with another writer it is run again, up to
 * `tries` times in all (default 10). All other errors are thrown after a rollback, also a conflict of a commit to several attached databases,
 * of which some may have committed.
 *
 * The function must do all its work before it returns. An async function or a generator is not called: that is a TypeError. If another function
 * returns a promise, a TypeError is thrown after a rollback, but what the function does later cannot be stopped and is not in a transaction.
 */
export function runTransaction<D extends Executor, R>(db: D, transaction: (db: D) => Synchronous<R>, options?: { tries?: number }): R

/**
 * Whether another writer was first, so that the transaction can be run again from its beginning. Nothing was committed, except if the commit
 * was one to several attached databases: then some of them may have committed.
 */
export function isConflict(error: unknown): boolean

/** A failed open, read or write of a replica. The message ends with the reason. */
export class ReplicaError extends Error {
    /** The code of the host's error, for example `SQLITE_CANTOPEN`. */
    readonly code: string
    /** The error of the host. */
    readonly cause: Error
    constructor(error: Error, reason: string)
}
