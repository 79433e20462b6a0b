# frozen_string_literal: true

# The replica in sample/, which Litestream wrote.

require "litestream_vfs_rs"
require "minitest/autorun"
require "tmpdir"

ROOT = File.expand_path("../..", __dir__)
SAMPLE = "file://#{ROOT}/sample/replica"
# Before the prices rose.
EARLIER = File.read("#{ROOT}/sample/README.md")[/--at '([^']*)'/, 1]
