-- SQL cannot set a time if time_travel is off.
.load $LIBRARY
.open 'file:app.db?vfs=litestream&replica_url=$URL&time=$EARLIER&time_travel=off'
SELECT count(*) FROM orders;
PRAGMA litestream_time = 'LATEST';
PRAGMA litestream_txid = '$FIRST_TXID';
SELECT litestream_set_time('LATEST');
SELECT count(*), litestream_time() <= '$EARLIER' FROM orders;
SELECT count(*) > 1 FROM litestream_history;
