# R, RSQLite.
library(DBI)

# docs
loader <- dbConnect(RSQLite::SQLite(), ":memory:", loadable.extensions = TRUE)
dbGetQuery(loader, "SELECT load_extension('./litestream-vfs', 'sqlite3_litestreamdefault_init')")
# end
cat("loads yes\n")

# docs
db <- dbConnect(RSQLite::SQLite(), "file:app.db?vfs=litestream&replica_url=s3://bucket/app", flags = RSQLite::SQLITE_RO)
past <- dbConnect(RSQLite::SQLite(), "litestream:s3%3A%2F%2Fbucket%2Fapp?time=2026-01-31T12:00:00Z", flags = RSQLite::SQLITE_RO)
# end
named <- dbConnect(RSQLite::SQLite(), "litestream:s3%3A%2F%2Fbucket%2Fapp", flags = RSQLite::SQLITE_RO)

orders <- function(database) dbGetQuery(database, "SELECT count(*) FROM orders")[[1]]

cat("uri", orders(db), "\n")
cat("name", orders(named), "\n")
invisible(dbGetQuery(db, "PRAGMA litestream_time = '2026-01-31T12:00:00Z'"))
cat("time", orders(past), orders(db), "\n")

tryCatch(
  dbConnect(RSQLite::SQLite(), "litestream:s3%3A%2F%2Fbucket%2Fnowhere"),
  error = function(condition) cat("reason", dbGetQuery(loader, "SELECT litestream_last_error()")[[1]], "\n")
)
