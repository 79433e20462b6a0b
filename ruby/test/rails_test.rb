# frozen_string_literal: true

# The configuration for Rails in docs/ruby.md, with Active Record.

require "active_record"
require "erb"
require "yaml"
require_relative "sample"

BLOCKS = File.read("#{ROOT}/docs/ruby.md").scan(/^```(\w+)\n(.*?)^```$/m).to_h { |_, code| [code[/\A# (\S+)/, 1], code] }

# What Active Record asks of Rails.
module Rails
  def self.root = APPLICATION
end

APPLICATION = Dir.mktmpdir
Minitest.after_run { FileUtils.rm_rf(APPLICATION) }
Dir.mkdir("#{APPLICATION}/storage")

eval(BLOCKS.fetch("config/initializers/litestream.rb")) # rubocop:disable Security/Eval
configuration = BLOCKS.fetch("config/database.yml").gsub("s3://bucket/app", SAMPLE).sub("2026-01-31T12:00:00Z", EARLIER)
                      .sub("s3://bucket/visits", "file://#{APPLICATION}/visits")
ActiveRecord::Base.configurations = YAML.safe_load(ERB.new(configuration).result)
ActiveRecord::Base.legacy_connection_handling = false
ActiveRecord::ConnectionHandling::DEFAULT_ENV.singleton_class.define_method(:call) { "production" }
eval(BLOCKS.fetch("app/models/replica_record.rb")) # rubocop:disable Security/Eval

class PastRecord < ActiveRecord::Base
  self.abstract_class = true
  connects_to database: { writing: :past, reading: :past }
end

class Product < ReplicaRecord; end

class PastProduct < PastRecord
  self.table_name = "products"
end

class Note < ActiveRecord::Base
  establish_connection :primary
end

class Visit < ActiveRecord::Base
  establish_connection :visits
  cattr_accessor :committed
  after_commit { committed&.call }
end

class RailsTest < Minitest::Test
  def test_models_read_the_replica
    assert_equal 632, Order.count
    assert_equal Product.all.map(&:price).sum, Product.sum(:price)
    assert_operator PastProduct.sum(:price), :<, Product.sum(:price)
  end

  def test_the_replica_is_not_written
    assert_raises(ActiveRecord::ReadOnlyError) { Order.delete_all }
  end

  def test_the_primary_is_an_ordinary_database
    create_tables
    Note.create!(text: "tea")
    assert_equal ["tea"], Note.pluck(:text)
    assert_equal ["production.sqlite3"], Dir.children("#{APPLICATION}/storage")
  end

  def test_a_replica_is_written
    create_tables
    other = LitestreamVfsRs.open("file://#{APPLICATION}/visits", write_enabled: true)
    runs = 0
    LitestreamVfsRs.retry_conflicts do
      Visit.transaction do
        runs += 1
        number = Visit.count
        # Another writer is first, once.
        other.execute("INSERT INTO visits (page) VALUES ('/other')") if runs == 1
        Visit.create!(page: "/#{number}")
      end
    end
    assert_equal [2, ["/other", "/1"]], [runs, Visit.order(:id).pluck(:page)]
    assert_equal 2, LitestreamVfsRs.open("file://#{APPLICATION}/visits").get_first_value("SELECT count(*) FROM visits")
  end

  def test_what_a_callback_after_the_commit_raises_is_not_repeated
    create_tables
    assert_equal 1, rows_despite_a_conflict_after_the_commit

    # A commit to another database is repeated with the rest of the block.
    writer = LitestreamVfsRs.open("file://#{APPLICATION}/visits", write_enabled: true)
    runs = 0
    LitestreamVfsRs.retry_conflicts do
      Visit.transaction do
        runs += 1
        Visit.count
        Visit.connection.execute("/* a */ SELECT '*/ commit'")
        Note.create!(text: "another database")
        writer.execute("INSERT INTO visits (page) VALUES ('/first')") if runs == 1
        Visit.create!(page: "/second")
      end
    end
    assert_equal [2, 2, 1], [runs, Note.where(text: "another database").count, Visit.where(page: "/second").count]
  ensure
    Visit.delete_all
    Note.delete_all
  end

  def test_a_commit_that_is_logged_with_comments_is_not_repeated
    create_tables
    # Rails writes such a comment with the option query_log_tags_prepend_comment.
    ["/*application:App*/ ", "/* a; b */\n-- c\n\t/**/"].each do |prefix|
      assert_equal 1, with_logged_prefix(prefix) { rows_despite_a_conflict_after_the_commit }
    end
  ensure
    Visit.delete_all
  end

  def test_a_replica_that_cannot_be_opened
    database = LitestreamVfsRs.name("file://#{APPLICATION}/missing", open_timeout: 0)
    assert_raises(SQLite3::CantOpenException) { ActiveRecord::Base.sqlite3_connection(adapter: "sqlite3", database: database, readonly: true) }
    assert_match(/no backup is found/, LitestreamVfsRs.last_error)
  end

  private

  def create_tables
    Visit.connection.create_table(:visits, if_not_exists: true) { |table| table.string :page }
    Note.connection.create_table(:notes, if_not_exists: true) { |table| table.string :text }
  end

  # Returns how many rows a transaction leaves whose callback after the commit raises the conflict of another database.
  def rows_despite_a_conflict_after_the_commit
    Visit.delete_all
    other = SQLite3::Database.new("#{APPLICATION}/storage/production.sqlite3")
    other.execute("BEGIN IMMEDIATE")
    Visit.committed = -> { Note.create!(text: "visited") }
    error = assert_raises(ActiveRecord::StatementInvalid) do
      LitestreamVfsRs.retry_conflicts(tries: 3) { Visit.transaction { Visit.create!(page: "/once") } }
    end
    assert LitestreamVfsRs.conflict?(error)
    Visit.count
  ensure
    Visit.committed = nil
    other&.close
  end

  # Runs the block while Active Record logs this text before each statement of `Visit`.
  def with_logged_prefix(prefix)
    connection = Visit.connection
    connection.define_singleton_method(:log) { |sql, *others, **options, &block| super(prefix + sql, *others, **options, &block) }
    yield
  ensure
    connection.singleton_class.remove_method(:log)
  end
end
