'use strict'
// What SQL tells of a connection and its databases.

/** Returns the first value of the first row, or undefined if there is no row. Some hosts return rows as arrays. */
const firstValue = (statement) => Object.values(statement.get() ?? {})[0]

/**
 * Returns a list with an item for each database of a connection that is a replica or a file: true for a replica that it may write, false for
 * another replica, undefined for a file.
 */
function writableReplicas(db) {
    const databases = db.prepare('PRAGMA database_list').all().map((row) => Object.values(row))
    return databases.filter(([, , file]) => file).map(([, name]) => mayWrite(db, name))
}

function mayWrite(db, schema) {
    const statement = db.prepare(`PRAGMA "${schema.replaceAll('"', '""')}".litestream_write_enabled`)
    // The pragma has a column only for replicas. Without one, better-sqlite3 refuses `get`.
    const enabled = statement.reader === false ? undefined : firstValue(statement)
    return enabled === undefined ? undefined : Number(enabled) === 1
}

module.exports = { firstValue, writableReplicas }
