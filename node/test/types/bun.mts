import { Database } from 'bun:sqlite'
import { load, open } from 'litestream-vfs-rs'

const db: Database = open(Database, 's3://bucket/app', { maxStaleness: '5s', safeIntegers: true })
load(db, { defaultVfs: true })
// @ts-expect-error: an unknown option
open(Database, 's3://bucket/app', { verbose: console.log })
