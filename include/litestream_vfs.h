/*
** litestream-vfs for C programs that link it statically, together with their own SQLite. SQLite must be 3.31 or newer and built with
** extension loading (without SQLITE_OMIT_LOAD_EXTENSION).
**
** `cargo build --release -p litestream-vfs-extension --features static` builds liblitestream_vfs.a.
**
**     #include <sqlite3.h>
**     #include "litestream_vfs.h"
**
**     sqlite3 *db;
**     sqlite3_auto_extension((void (*)(void))litestream_vfs_static_init);
**     sqlite3_open(":memory:", &db);    // opening the first connection, to any database, registers the VFS
**     sqlite3_close(db);
**
**     sqlite3_open_v2("file:app.db?vfs=litestream&replica_url=s3%3A%2F%2Fbucket%2Fpath", &db,
**                     SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, 0);
**
** If a replica cannot be opened, SQLite only reports "unable to open database file". The reason is the result of
** SELECT litestream_last_error() on any connection of the same thread. It is also passed to the callback of
** sqlite3_config(SQLITE_CONFIG_LOG, ...) and written to stderr.
**
** Programs that load litestream-vfs.so with sqlite3_load_extension do not need this header.
*/
#ifndef LITESTREAM_VFS_H
#define LITESTREAM_VFS_H

#ifdef __cplusplus
extern "C" {
#endif

struct sqlite3;
struct sqlite3_api_routines;

/*
** The entry point for sqlite3_auto_extension. SQLite calls it for every connection that is opened.
**
** Returns SQLITE_OK. If SQLite is too old, returns SQLITE_ERROR and stores the reason in *pzErrMsg, which must be freed with sqlite3_free.
** If pApi is null, as in an SQLite without extension loading, returns SQLITE_ERROR without a reason.
*/
int litestream_vfs_static_init(
  struct sqlite3 *db,
  char **pzErrMsg,
  const struct sqlite3_api_routines *pApi
);

#ifdef __cplusplus
}
#endif

#endif /* LITESTREAM_VFS_H */
