import Database = require('better-sqlite3')
import litestream = require('litestream-vfs-rs')

const db: Database.Database = litestream.open(Database, 's3://bucket/app', { txid: '000000000000002a', timeout: 100 })
const error: Error = new litestream.ReplicaError(new Error(''), '')
console.log(db, error)
