import { Database } from 'bun:sqlite'
import { lastError, load, open } from 'litestream-vfs-rs'

const db: Database = open(Database, 's3://bucket/app', { maxStaleness: '5s', safeIntegers: true })
const reason: string | null = lastError(db)
load(db, { defaultVfs: true })
console.log(reason)
// @ts-expect-error: an unknown option
open(Database, 's3://bucket/app', { verbose: console.log })
