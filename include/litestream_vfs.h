/*
** litestream-vfs in a program that links it next to its own SQLite, 3.31 or newer and built with
** extension loading (no SQLITE_OMIT_LOAD_EXTENSION). `cargo build --release -p litestream-vfs-extension --features static` makes
** liblitestream_vfs.a.
**
**     #include <sqlite3.h>
**     #include "litestream_vfs.h"
**
**     sqlite3 *db;
**     sqlite3_auto_extension((void (*)(void))litestream_vfs_static_init);
**     sqlite3_open(":memory:", &db);    // the first connection, to anything, registers the VFS
**     sqlite3_close(db);
**
**     sqlite3_open_v2("file:app.db?vfs=litestream&replica_url=s3%3A%2F%2Fbucket%2Fpath", &db,
**                     SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, 0);
**
** Why an open failed is told to the callback of sqlite3_config(SQLITE_CONFIG_LOG, ...) and written to stderr, since
** SQLite itself says "unable to open database file".
**
** A program that loads litestream-vfs.so with sqlite3_load_extension needs none of this.
*/
#ifndef LITESTREAM_VFS_H
#define LITESTREAM_VFS_H

#ifdef __cplusplus
extern "C" {
#endif

struct sqlite3;
struct sqlite3_api_routines;

/*
** An extension's entry point, for sqlite3_auto_extension. SQLite calls it for every connection that is opened. Answers
** SQLITE_OK; on an SQLite that is too old SQLITE_ERROR, with the reason in *pzErrMsg, to be freed with sqlite3_free; without pApi, as from
** an SQLite built without extension loading, SQLITE_ERROR alone.
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
