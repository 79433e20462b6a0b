'use strict'
// Makes the names that open a replica from its URL and settings. In Jest, a Date or a URL can be of another class than those of this module.

const { types } = require('node:util')

// The settings of a connection that docs/configuration.md and docs/writing.md list, as URI parameters.
const PARAMETERS = [
    'attach',
    'buffer_path',
    'cache_dir',
    'cache_size',
    'compaction',
    'disk_cache_size',
    'hydration_enabled',
    'hydration_path',
    'l0_retention',
    'max_staleness',
    'open_timeout',
    'poll_interval',
    'read_timeout',
    'snapshot_interval',
    'snapshot_retention',
    'sync_interval',
    'time',
    'time_travel',
    'txid',
    'verify',
    'write_enabled',
    'write_takeover'
]

const camelCase = (parameter) => parameter.replace(/_[a-z]/g, (letters) => letters[1].toUpperCase())
const OPTIONS = new Map(PARAMETERS.map((parameter) => [camelCase(parameter), parameter]))

function text(option, value) {
    if (types.isDate(value)) return value.toISOString()
    if (typeof value === 'boolean') return value ? 'on' : 'off'
    if (typeof value === 'string' || typeof value === 'number') return String(value)
    throw new TypeError(`the option ${option} must be a string, a number, a boolean or a Date`)
}

/** Separates the settings of the replica from the options of the host. Returns [parameters of the URI, options of the host]. */
function split(options) {
    const parameters = []
    const host = {}
    for (const [option, value] of Object.entries(options)) {
        if (PARAMETERS.includes(option) && !OPTIONS.has(option)) {
            throw new TypeError(`the option ${option} is written ${camelCase(option)}`)
        }
        if (!OPTIONS.has(option)) host[option] = value
        else if (value !== undefined && value !== null) parameters.push([OPTIONS.get(option), text(option, value)])
    }
    return [parameters, host]
}

/** Whether these parameters open a replica for writing. */
function isWritable(parameters) {
    return parameters.some(([parameter, value]) => parameter === 'write_enabled' && !/^(off|0|false|no)$/i.test(value))
}

function checked(url) {
    const text = typeof url?.href === 'string' ? url.href : url
    if (text !== undefined && (typeof text !== 'string' || text === '')) {
        throw new TypeError('the URL of a replica must be a string such as s3://bucket/app, or undefined to use LITESTREAM_REPLICA_URL')
    }
    return text
}

// Names are put into SQL literals, which an apostrophe would end.
const encoded = (value) => encodeURIComponent(value).replaceAll("'", '%27')

const query = (parameters) => parameters.map(([parameter, value]) => `${parameter}=${encoded(value)}`).join('&')

/** Returns the URI of a replica. Hosts that do not enable URIs open it by the default VFS. */
function uriOf(url, parameters) {
    const text = checked(url)
    const replica = text === undefined ? [] : [['replica_url', text]]
    return `file:replica.db?${query([['vfs', 'litestream'], ...replica, ...parameters])}`
}

/** Returns a name that only the default VFS opens, and that stays intact if the host makes it an absolute path. */
function pathOf(url, parameters) {
    const name = `litestream:${encoded(checked(url) ?? '')}`
    return parameters.length > 0 ? `${name}?${query(parameters)}` : name
}

/**
 * Returns the name of a replica for programs that open databases by name. Hosts that enable URIs need the extension to be loaded, all
 * others need it to be loaded with `defaultVfs`.
 */
function replicaName(url, settings = {}) {
    const [parameters, others] = split(settings)
    for (const option of Object.keys(others)) throw new TypeError(`${option} is not a setting of a replica`)
    return uriOf(url, parameters)
}

module.exports = { OPTIONS, isWritable, pathOf, replicaName, split, uriOf }
