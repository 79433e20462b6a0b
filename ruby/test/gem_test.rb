# frozen_string_literal: true

# The gem as a user installs it.

require_relative "sample"

PRICES = "SELECT sum(price) FROM products"

class GemTest < Minitest::Test
  def one(database, sql) = database.get_first_value(sql)

  def test_the_library_is_in_the_gem
    directory = File.dirname(LitestreamVfsRs.method(:open).source_location.first)
    assert_equal directory, File.dirname(LitestreamVfsRs.to_path)
    assert_equal File.binread(ENV.fetch("LITESTREAM_TEST_LIBRARY")), File.binread(LitestreamVfsRs.to_path)
  end

  def test_the_newest_state_and_past_ones
    newest = LitestreamVfsRs.open(SAMPLE)
    assert_equal 632, one(newest, "SELECT count(*) FROM orders")
    assert_equal "ok", one(newest, "PRAGMA integrity_check")
    assert_raises(SQLite3::ReadOnlyException) { newest.execute("DELETE FROM orders") }

    then_ = [EARLIER, Time.parse(EARLIER)].map { |time| LitestreamVfsRs.open(SAMPLE, time: time) }
    txid = one(then_[0], "SELECT litestream_txid()")
    then_ << LitestreamVfsRs.open(SAMPLE, txid: txid)
    assert_equal 1, then_.map { |past| one(past, PRICES) }.uniq.size
    assert_operator one(then_[0], PRICES), :<, one(newest, PRICES)
  end

  def test_settings_and_options
    fixed = LitestreamVfsRs.open(SAMPLE, time_travel: false, results_as_hash: true)
    assert_equal({ "one" => 1 }, fixed.get_first_row("SELECT 1 AS one"))
    error = assert_raises(SQLite3::Exception) { fixed.execute("PRAGMA litestream_time = '1 hour ago'") }
    assert_match(/time_travel is off/, error.message)
    assert_raises(ArgumentError) { LitestreamVfsRs.name(SAMPLE, cache: 1) }
  end

  def test_the_settings_are_those_of_the_documentation
    both = File.read("#{ROOT}/docs/configuration.md") + File.read("#{ROOT}/docs/writing.md")
    documented = both.scan(/^\| `([a-z0-9_]+)` \| (?:`LITESTREAM_|–)/).flatten - ["replica_url"]
    assert_operator documented.size, :>, 5
    name = LitestreamVfsRs.name("s3://bucket/a b", **documented.to_h { |setting| [setting.to_sym, "1&2"] })
    expected = ["vfs=litestream", "replica_url=s3%3A%2F%2Fbucket%2Fa%20b", *documented.map { |setting| "#{setting}=1%262" }]
    assert_equal expected.sort, name.delete_prefix("file:replica.db?").split("&").sort
  end

  def test_a_failed_open_says_why
    Dir.mktmpdir do |directory|
      error = assert_raises(LitestreamVfsRs::Error) { LitestreamVfsRs.open("file://#{directory}/missing", open_timeout: 0) }
      assert_match(%r{\Aunable to open database file: .*no backup is found at file://#{directory}/missing}, error.message)
      assert_instance_of SQLite3::CantOpenException, error.cause
      assert_equal error.message, "unable to open database file: #{LitestreamVfsRs.last_error}"
    end
  end

  def test_local_databases_are_as_before
    LitestreamVfsRs.load
    Dir.mktmpdir do |directory|
      local = SQLite3::Database.new("#{directory}/local.db")
      local.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (a); INSERT INTO t VALUES (1), (2)")
      local.execute("ATTACH ? AS replica", [LitestreamVfsRs.name(SAMPLE)])
      assert_equal 634, one(local, "SELECT (SELECT count(*) FROM t) + (SELECT count(*) FROM replica.orders)")
      local.close
      assert_equal ["local.db"], Dir.children(directory)
    end
  end

  def test_the_path_of_the_library
    ENV["LITESTREAM_VFS_PATH"] = "/nowhere/litestream-vfs.so"
    error = assert_raises(LoadError) { LitestreamVfsRs.to_path }
    assert_match(%r{LITESTREAM_VFS_PATH names /nowhere/litestream-vfs.so, which does not exist}, error.message)
  ensure
    ENV.delete("LITESTREAM_VFS_PATH")
  end
end
