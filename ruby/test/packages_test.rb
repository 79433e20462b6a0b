# frozen_string_literal: true

# What packaging/gem makes of the archives of a release.

require "json"
require "rubygems/package"
require_relative "sample"

class PackagesTest < Minitest::Test
  VERSION = IO.popen("#{ROOT}/packaging/version", &:read).chomp
  # The npm package has the same platforms.
  RELEASES = JSON.parse(File.read("#{ROOT}/node/lib/platforms.json"))

  # Writes archives with the names and the layout of packaging/package, whose libraries contain the name of the platform.
  def write_archives
    RELEASES.each do |platform|
      name = "litestream-vfs-v#{VERSION}-#{platform["release"]}"
      Dir.mkdir(name)
      File.write("#{name}/#{platform["file"]}", platform["release"])
      File.write("#{name}/THIRD-PARTY-LICENSES.txt", "licences")
      form, suffix = platform["os"] == "win32" ? %w[zipfile zip] : %w[tarfile tar.gz]
      assert system("python3", "-m", form, "-c", "#{name}.#{suffix}", name)
    end
  end

  def test_each_release_archive_becomes_a_gem_for_its_platform
    Dir.mktmpdir do |directory|
      Dir.chdir(directory) do
        write_archives
        assert system("#{ROOT}/packaging/gem", "gems", ".", out: File::NULL)
        libraries = Dir["gems/*.gem"].map do |path|
          gem = Gem::Package.new(path)
          gem.extract_files("files")
          assert_equal VERSION, gem.spec.version.to_s
          assert_includes gem.contents, "THIRD-PARTY-LICENSES.txt"
          assert_old_rubygems_takes_it_unless_it_is_for_musl gem.spec
          File.read("files/#{gem.contents.find { |file| file.start_with?("lib/litestream-vfs.") }}")
        end
        assert_equal RELEASES.map { |platform| platform["release"] }.sort, libraries.sort
      end
    end
  end

  # Debian 12's RubyGems, with glibc, takes a gem for musl to be one for every Linux.
  def assert_old_rubygems_takes_it_unless_it_is_for_musl(spec)
    old, new = %w[3.3.15 3.3.22].map { |version| spec.required_rubygems_version.satisfied_by?(Gem::Version.new(version)) }
    assert_equal [!spec.platform.to_s.end_with?("musl"), true], [old, new], spec.full_name
  end
end
