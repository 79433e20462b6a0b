-- Twelve queries similar to those of TPC-H: scans, joins by index, groups, sorts.
SELECT l_returnflag, l_linestatus, sum(l_quantity), sum(l_extendedprice * (1 - l_discount)), avg(l_tax), count(*)
FROM lineitem WHERE l_shipdate <= '1998-06-01' GROUP BY 1, 2 ORDER BY 1, 2;

SELECT o_orderkey, o_orderdate, sum(l_extendedprice * (1 - l_discount)) AS revenue
FROM customer JOIN orders ON o_custkey = c_custkey JOIN lineitem ON l_orderkey = o_orderkey
WHERE c_custkey % 9 = 0 AND o_orderdate < '1995-03-15' GROUP BY 1 ORDER BY revenue DESC LIMIT 10;

SELECT o_orderpriority, count(*) FROM orders WHERE o_orderdate BETWEEN '1993-07-01' AND '1994-07-01'
AND EXISTS (SELECT 1 FROM lineitem WHERE l_orderkey = o_orderkey AND l_commitdate < l_receiptdate) GROUP BY 1 ORDER BY 1;

SELECT n_name, sum(l_extendedprice) FROM nation JOIN customer ON c_nationkey = n_nationkey
JOIN orders ON o_custkey = c_custkey JOIN lineitem ON l_orderkey = o_orderkey
WHERE o_orderdate BETWEEN '1994-01-01' AND '1994-12-31' GROUP BY 1 ORDER BY 2 DESC;

SELECT sum(l_extendedprice * l_discount) FROM lineitem
WHERE l_shipdate BETWEEN '1994-01-01' AND '1994-03-31' AND l_discount BETWEEN 0.05 AND 0.07 AND l_quantity < 24;

SELECT substr(o_orderdate, 1, 7) AS month, count(*), sum(o_totalprice) FROM orders GROUP BY month ORDER BY month;

SELECT p_brand, count(*), avg(l_extendedprice) FROM part JOIN lineitem ON l_partkey = p_partkey
WHERE p_size < 10 GROUP BY 1 ORDER BY 3 DESC;

SELECT c_custkey, c_name, count(o_orderkey) AS orders FROM customer LEFT JOIN orders ON o_custkey = c_custkey
GROUP BY 1 ORDER BY orders DESC, 1 LIMIT 20;

SELECT l_shipmode, sum(o_orderpriority < '3'), sum(o_orderpriority >= '3') FROM lineitem
JOIN orders ON o_orderkey = l_orderkey WHERE l_receiptdate BETWEEN '1994-01-01' AND '1994-06-30' GROUP BY 1 ORDER BY 1;

SELECT s_name, sum(ps_supplycost * ps_availqty) AS value FROM partsupp JOIN supplier ON s_suppkey = ps_suppkey
GROUP BY s_suppkey ORDER BY value DESC LIMIT 10;

SELECT count(*), sum(length(o_comment)) FROM orders WHERE o_comment LIKE '%an%st%';

SELECT l_orderkey, sum(l_quantity) AS quantity FROM lineitem GROUP BY 1 HAVING quantity > 260 ORDER BY 2 DESC, 1 LIMIT 100;
