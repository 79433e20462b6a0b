-- Errors leave the state of the connection unchanged.
.load $LIBRARY
.open 'file:app.db?vfs=litestream&replica_url=$URL'
ATTACH ':memory:' AS own;
PRAGMA litestream_time = 'some day, perhaps';
PRAGMA litestream_time = '';
PRAGMA litestream_time = '2026-02-31';
PRAGMA litestream_time = '1 hour ago today';
PRAGMA litestream_time = '2000-01-01';
PRAGMA litestream_txid = '12';
PRAGMA litestream_txid = '0000000000000099';
PRAGMA litestream_txid = '0000000000000000';
PRAGMA litestream_lag = 1;
PRAGMA litestream_write_enabled = 1;
SELECT litestream_set_time(NULL);
SELECT litestream_set_time('LATEST', 'own');
SELECT litestream_set_time('LATEST', 'nowhere');
SELECT * FROM litestream_history('nowhere');
SELECT * FROM litestream_files('own');
SELECT * FROM litestream_changes;
SELECT * FROM litestream_changes('soon');
DELETE FROM litestream_history;
SELECT count(*), litestream_txid() FROM orders;
.open ':memory:'
SELECT litestream_txid();
SELECT litestream_set_time('LATEST');
SELECT * FROM litestream_history;
SELECT * FROM litestream_changes('LATEST');
SELECT count(*) FROM litestream_status;
PRAGMA litestream_time = 'LATEST';
SELECT 'a plain database';

-- Neither a view nor a trigger can set the time of its reader.
ATTACH 'file:app.db?vfs=litestream&replica_url=$URL' AS shop;
CREATE VIEW v AS SELECT litestream_set_time('LATEST', 'shop') AS moved;
SELECT moved FROM v;
CREATE TABLE t (a);
CREATE TRIGGER r AFTER INSERT ON t BEGIN SELECT litestream_set_time('LATEST', 'shop'); END;
INSERT INTO t VALUES (1);
SELECT count(*) FROM shop.orders;
