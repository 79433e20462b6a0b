# frozen_string_literal: true

# Replicas that are written, and conflicts.

require "rbconfig"
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
