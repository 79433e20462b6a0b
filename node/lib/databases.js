'use strict'
// The databases of a connection.

/**
 * Returns a list with an item for each database of a connection that is a replica or a file: true for a replica that it may write, false for
 * another replica, undefined for a file.
 */
function writableReplicas(db) {
    // Some hosts return rows as arrays.
    const databases = db.prepare('PRAGMA database_list').all().map((row) => Object.values(row))
    return databases.filter(([, , file]) => file).map(([, name]) => mayWrite(db, name))
}

function mayWrite(db, schema) {
    try {
        const row = db.prepare(`PRAGMA "${schema.replaceAll('"', '""')}".litestream_write_enabled`).get()
        return row ? Number(Object.values(row)[0]) === 1 : undefined
    } catch (error) {
        // The pragma has a row only for replicas. Without one, better-sqlite3 refuses `get`.
        if (error instanceof TypeError) return undefined
        throw error
    }
}

module.exports = { writableReplicas }
