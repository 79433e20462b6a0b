'use strict'
// The errors of hosts.

/**
 * Whether a value is an error, also of another realm than this module, as in Jest. There `instanceof` knows none, and `isNativeError` of
 * node:util not those of better-sqlite3 12.
 */
const isError = (value) => typeof value?.message === 'string'

module.exports = { isError }
