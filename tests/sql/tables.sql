-- Tables about the replica.
.load $LIBRARY
.open 'file:app.db?vfs=litestream&replica_url=$URL'
.headers on
SELECT * FROM litestream_history LIMIT 1;
.headers off
SELECT count(*), min(txid), max(time), min(level), max(level) FROM litestream_history;
SELECT txid FROM litestream_history ORDER BY txid DESC LIMIT 2;
SELECT count(*) FROM litestream_history WHERE time <= '$EARLIER';
.headers on
SELECT * FROM litestream_files WHERE level = 9 LIMIT 1;
.headers off
SELECT level, count(*), min(min_txid), max(max_txid) FROM litestream_files GROUP BY level;
SELECT typeof(level), typeof(min_txid), typeof(max_txid), typeof(time), typeof(bytes) FROM litestream_files LIMIT 1;
.headers on
SELECT * FROM litestream_changes('$EARLIER');
.headers off
SELECT * FROM litestream_changes('$LAST_TXID', 'LATEST');
SELECT name, type FROM litestream_changes('$EARLIER', NULL, 'main') ORDER BY name;
SELECT name FROM litestream_changes WHERE since = '$EARLIER' AND until = 'LATEST' AND type = 'index';

-- With the schema as an argument, also of a column.
ATTACH 'file:then.db?vfs=litestream&replica_url=$URL&time=$EARLIER' AS past;
SELECT count(*) FROM litestream_history('past');
SELECT count(*) FROM litestream_history;
SELECT count(*) FROM past.litestream_history;
SELECT count(*) FROM main.litestream_files;
SELECT count(*) FROM past.litestream_changes('$EARLIER');
SELECT count(*) FROM past.litestream_history('main');
SELECT schema FROM past.litestream_status;
SELECT d.name, count(*) FROM pragma_database_list AS d, litestream_files(d.name) GROUP BY d.name;
SELECT count(*) FROM litestream_changes('$EARLIER', NULL, 'past');
SELECT litestream_txid('past') < litestream_txid(), litestream_lag('past') >= 0;
