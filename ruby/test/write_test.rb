# frozen_string_literal: true

# Replicas that are written, and conflicts.

require "rbconfig"
require "timeout"
require_relative "sample"

class WriteTest < Minitest::Test
  INCREMENTS = 10
  WRITER = <<~RUBY
    db = LitestreamVfsRs.open(ARGV[0], write_enabled: true)
    $stdin.gets
    #{INCREMENTS}.times do
      LitestreamVfsRs.run_transaction(db, tries: 100) do
        number = db.get_first_value("SELECT number FROM counter")
        db.execute("UPDATE counter SET number = ?", [number + 1])
      end
    end
  RUBY

  WRITE = <<~RUBY
    LitestreamVfsRs.open(ARGV[0], write_enabled: true).execute("INSERT INTO t VALUES (7)")
  RUBY

  def setup
    @directory = Dir.mktmpdir
    @url = "file://#{@directory}/replica"
  end

  def teardown = FileUtils.rm_rf(@directory)

  def writable(**options) = LitestreamVfsRs.open(@url, write_enabled: true, **options)

  def one(database, sql) = database.get_first_value(sql)

  def test_two_processes_lose_no_increment
    LitestreamVfsRs.run_transaction(writable) { |db| db.execute_batch("CREATE TABLE counter (number); INSERT INTO counter VALUES (0)") }
    writers = Array.new(2) { IO.popen([RbConfig.ruby, "-W0", "-rlitestream_vfs_rs", "-e", WRITER, @url], "r+") }
    writers.each { |writer| writer.puts("go") }
    writers.each do |writer|
      writer.close
      assert_predicate $?, :success?
    end
    reader = LitestreamVfsRs.open(@url)
    # Each transaction has a number.
    assert_equal 1, one(reader, "SELECT litestream_wait(#{1 + 2 * INCREMENTS}, 30)")
    assert_equal 2 * INCREMENTS, one(reader, "SELECT number FROM counter")
  end

  def test_conflicts_are_repeated_and_other_errors_are_not
    db, other = writable, writable
    db.execute("CREATE TABLE t (x)")
    db.execute("BEGIN")
    assert_equal 0, one(db, "SELECT count(*) FROM t")
    other.execute("INSERT INTO t VALUES (1)")
    stale = assert_raises(SQLite3::BusyException) { db.execute("INSERT INTO t VALUES (2)") }
    assert LitestreamVfsRs.conflict?(stale)
    db.execute("ROLLBACK")

    other.execute("BEGIN IMMEDIATE")
    assert_raises(SQLite3::BusyException) { LitestreamVfsRs.run_transaction(db, tries: 2) { flunk } }
    other.execute("ROLLBACK")

    runs = 0
    assert_raises(KeyError) do
      LitestreamVfsRs.run_transaction(db) do
        runs += 1
        db.execute("INSERT INTO t VALUES (3)")
        raise KeyError
      end
    end
    assert_equal [1, 1], [runs, one(db, "SELECT count(*) FROM t")]
    assert_equal 7, LitestreamVfsRs.run_transaction(db) { 7 }

    runs = 0
    ended = assert_raises(RuntimeError) do
      LitestreamVfsRs.run_transaction(db) do
        runs += 1
        db.execute_batch("INSERT INTO t VALUES (4); COMMIT")
      end
    end
    assert_includes ended.message, "must not commit"
    assert_raises(SQLite3::BusyException) do
      LitestreamVfsRs.run_transaction(db) do
        runs += 1
        db.execute_batch("INSERT INTO t VALUES (5); COMMIT")
        raise SQLite3::BusyException, "database is locked"
      end
    end
    assert_equal [2, 3], [runs, one(db, "SELECT count(*) FROM t")]
  end

  # Leaves a transaction with `return`.
  def insert_and_return(database, value)
    LitestreamVfsRs.run_transaction(database) do |db|
      db.execute("INSERT INTO t VALUES (?)", [value])
      return value
    end
  end

  def insert_and_break(database, value)
    LitestreamVfsRs.run_transaction(database) do |db|
      db.execute("INSERT INTO t VALUES (?)", [value])
      break value
    end
  end

  def insert_and_throw(database, value)
    catch(:left) do
      LitestreamVfsRs.run_transaction(database) do |db|
        db.execute("INSERT INTO t VALUES (?)", [value])
        throw :left, value
      end
    end
  end

  def with_timeout_version(version)
    before = Timeout.send(:remove_const, :VERSION)
    Timeout.const_set(:VERSION, version)
    yield
  ensure
    Timeout.send(:remove_const, :VERSION)
    Timeout.const_set(:VERSION, before)
  end

  LEAVES = %i[insert_and_return insert_and_break insert_and_throw].freeze

  def test_a_transaction_that_is_left_early_is_committed
    db = writable
    db.execute("CREATE TABLE t (x)")
    with_timeout_version("0.4.0") do
      assert_equal [0, 1, 2], LEAVES.each_with_index.map { |leave, value| send(leave, db, value) }
    end
    assert_equal [[0], [1], [2]], db.execute("SELECT x FROM t")
    refute_predicate db, :transaction_active?
  end

  def test_nothing_is_committed_if_a_timeout_or_the_end_of_the_thread_cuts_a_transaction_off
    db = writable
    db.execute("CREATE TABLE t (x)")
    with_timeout_version("0.3.1") do
      LEAVES.each { |leave| assert_match(/was rolled back/, assert_raises(LocalJumpError) { send(leave, db, 1) }.message) }
    end
    cut_off = [Timeout::Error, LocalJumpError]
    assert_raises(*cut_off) { Timeout.timeout(0.2) { insert_and_sleep(db) } }
    thread = Thread.new { insert_and_sleep(db) }
    sleep 0.01 until db.transaction_active? && thread.stop?
    thread.kill.join
    assert_equal [false, []], [db.transaction_active?, db.execute("SELECT x FROM t")]
  end

  def insert_and_sleep(database)
    LitestreamVfsRs.run_transaction(database) do |db|
      db.execute("INSERT INTO t VALUES (1)")
      sleep
    end
  end

  def test_a_commit_to_several_databases_is_not_repeated
    urls = %w[main second].to_h { |name| [name, "file://#{@directory}/#{name}"] }
    urls.each_value do |url|
      first = LitestreamVfsRs.open(url, write_enabled: true)
      first.execute("CREATE TABLE t (x)")
      # While it is open, its poll could find the conflict before the commit.
      first.close
    end
    db = LitestreamVfsRs.open(urls["main"], write_enabled: true, poll_interval: "1h", results_as_hash: true)
    runs = []
    write = lambda do |tables, conflicting|
      runs << conflicting
      tables.each { |table| db.execute("INSERT INTO #{table} VALUES (1)") }
      next unless runs.count(conflicting) == 1

      assert system(RbConfig.ruby, "-W0", "-rlitestream_vfs_rs", "-e", WRITE, urls[conflicting])
    end

    # What the connection cannot write takes no part in the commit.
    db.execute("ATTACH ? AS second", [LitestreamVfsRs.name(urls["second"], poll_interval: "1h")])
    LitestreamVfsRs.run_transaction(db) { write.call(["main.t"], "main") }
    assert_equal %w[main main], runs
    db.execute("DETACH second")
    db.execute("ATTACH ? AS second", [LitestreamVfsRs.name(urls["second"], write_enabled: true, poll_interval: "1h")])
    before = Dir["#{@directory}/main/ltx/0/*"].size
    error = assert_raises(SQLite3::BusyException) do
      LitestreamVfsRs.run_transaction(db) { write.call(["main.t", "second.t"], "second") }
    end
    assert LitestreamVfsRs.conflict?(error)
    assert_equal %w[main main second], runs
    # The first of them was written before the second refused.
    assert_operator Dir["#{@directory}/main/ltx/0/*"].size, :>, before
  end

  def test_only_write_enabled_makes_a_replica_writable
    writable(compaction: "10s", l0_retention: "1m").execute("CREATE TABLE t (x)")
    [{}, { write_enabled: false }, { write_enabled: "off" }].each do |options|
      assert_raises(SQLite3::ReadOnlyException) { LitestreamVfsRs.open(@url, **options).execute("INSERT INTO t VALUES (1)") }
    end
    past = writable(time: "now")
    assert_raises(SQLite3::ReadOnlyException) { past.execute("INSERT INTO t VALUES (1)") }
    assert_match(/fixed state, which cannot be written/, LitestreamVfsRs.last_error)
  end
end
